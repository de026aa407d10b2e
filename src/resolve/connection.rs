//! One connection to an upstream, over any transport that has connections. The protocols are hickory's.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hickory_net::h2::HttpsClientStream;
use hickory_net::h3::H3ClientStream;
use hickory_net::quic::QuicClientStream;
use hickory_net::runtime::TokioRuntimeProvider;
use hickory_net::tcp::TcpClientStream;
use hickory_net::tls::tls_client_connect;
use hickory_net::xfer::{DnsExchange, DnsHandle, DnsRequestSender, FirstAnswer};
use hickory_net::{DnsMultiplexer, NetError};
use hickory_proto::op::{DnsRequest, Message};
use rustls::pki_types::ServerName;

use super::address::Transport;
use super::tls::Tls;

/// hickory's own bound for a question on a connection; the bound that counts is set by who asks.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(5);

/// Where a connection goes, and how.
pub(super) struct Destination<'a> {
    pub(super) transport: Transport,
    pub(super) address: SocketAddr,
    /// The name that the certificate must have.
    pub(super) tls_name: &'a str,
    pub(super) path: &'a str,
}

#[derive(Clone)]
pub(super) enum Connection {
    /// TCP and TLS: messages in any order, told apart by their IDs.
    Stream(DnsExchange<TokioRuntimeProvider>),
    Https(HttpsClientStream),
    H3(H3ClientStream),
    Quic(QuicClientStream),
}

impl Connection {
    /// Plain TCP.
    pub(super) async fn tcp(address: SocketAddr) -> Result<Self, NetError> {
        let provider = TokioRuntimeProvider::new();
        let (stream, sender) = TcpClientStream::new(address, None, Some(QUESTION_TIMEOUT), provider);
        Ok(Self::multiplexed(DnsMultiplexer::new(stream.await?, sender)))
    }

    /// An encrypted one.
    pub(super) async fn encrypted(to: &Destination<'_>, tls: &Tls) -> Result<Self, NetError> {
        let config = Arc::clone(&tls.config);
        let provider = TokioRuntimeProvider::new();
        match to.transport {
            Transport::Udp | Transport::Tcp => Self::tcp(to.address).await,
            Transport::Tls => {
                let name = ServerName::try_from(to.tls_name.to_owned());
                let name = name.map_err(|error| NetError::from(format!("`{}`: {error}", to.tls_name)))?;
                let (stream, sender) = tls_client_connect(to.address, name, config, provider);
                Ok(Self::multiplexed(DnsMultiplexer::new(stream.await?, sender)))
            }
            Transport::Https => {
                let builder = HttpsClientStream::builder(config, provider);
                Ok(Self::Https(builder.build(to.address, to.tls_name.into(), to.path.into()).await?))
            }
            Transport::H3 => {
                let builder = H3ClientStream::builder().crypto_config((*config).clone());
                Ok(Self::H3(builder.build(to.address, to.tls_name.into(), to.path.into()).await?))
            }
            Transport::Quic => {
                let builder = QuicClientStream::builder().crypto_config((*config).clone());
                Ok(Self::Quic(builder.build(to.address, to.tls_name.into()).await?))
            }
        }
    }

    fn multiplexed<S: DnsRequestSender>(stream: S) -> Self {
        let (exchange, background) = DnsExchange::from_stream(stream);
        // It ends with the last clone of the exchange.
        tokio::spawn(background);
        Self::Stream(exchange)
    }

    /// Asks. Several may at once.
    pub(super) async fn ask(&self, request: DnsRequest) -> Result<Message, NetError> {
        let response = match self {
            Self::Stream(exchange) => exchange.send(request).first_answer().await,
            Self::Https(stream) => stream.clone().send_message(request).first_answer().await,
            Self::H3(stream) => stream.clone().send_message(request).first_answer().await,
            Self::Quic(stream) => stream.clone().send_message(request).first_answer().await,
        };
        Ok(response?.into_message())
    }
}
