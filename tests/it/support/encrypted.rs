//! An upstream over TLS, HTTPS, QUIC or HTTP/3, with a certificate of an authority of its own. It knows 198.51.100.1 for every name.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use hickory_net::h3::h3_server::H3Server;
use hickory_net::quic::QuicServer;
use hickory_proto::op::Message;
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{RData, Record};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, PublicKeyData};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::runtime::Runtime;
use tokio::sync::broadcast;
use tokio_rustls::TlsAcceptor;

use super::upstream::answer_to;

/// How a server is spoken to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Tls,
    Https,
    Quic,
    H3,
}

pub(crate) struct Encrypted {
    pub(crate) kind: Kind,
    pub(crate) address: SocketAddr,
    /// The pin of its key.
    pub(crate) pin: String,
    ca: String,
    shared: Arc<Shared>,
    // Ends all that is served here when it goes.
    _runtime: Runtime,
}

struct Shared {
    asked: AtomicUsize,
    connections: AtomicUsize,
    /// The length of each question, in octets.
    lengths: Mutex<Vec<usize>>,
    delay: Mutex<Duration>,
    /// Connections before the one with this number are not answered on.
    deaf_before: AtomicUsize,
    hang_up: broadcast::Sender<()>,
}

impl Encrypted {
    /// A server whose certificate is for this name.
    pub(crate) fn start(kind: Kind, name: &str) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let authority_key = KeyPair::generate().unwrap();
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = authority.self_signed(&authority_key).unwrap().pem();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = certificate.signed_by(&key, &Issuer::new(authority, authority_key)).unwrap();
        let digest = Sha256::digest(key.subject_public_key_info());
        let pin = pixelsink::resolve::Pin(digest.into()).to_string();
        let mut config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
            )
            .unwrap();
        let alpn: &[&[u8]] = match kind {
            Kind::Tls => &[],
            Kind::Https => &[b"h2"],
            Kind::Quic => &[b"doq"],
            Kind::H3 => &[b"h3"],
        };
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        let config = Arc::new(config);
        let shared = Arc::new(Shared {
            asked: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            lengths: Mutex::default(),
            delay: Mutex::default(),
            deaf_before: AtomicUsize::new(0),
            hang_up: broadcast::channel(1).0,
        });
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let serving = Arc::clone(&shared);
        let address = runtime.block_on(async move {
            match kind {
                Kind::Tls | Kind::Https => {
                    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                    let address = listener.local_addr().unwrap();
                    tokio::spawn(serving.serve_tcp(listener, TlsAcceptor::from(config), kind));
                    address
                }
                Kind::Quic => {
                    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
                    let address = socket.local_addr().unwrap();
                    let server = QuicServer::with_socket_and_tls_config(socket, config).unwrap();
                    tokio::spawn(serving.serve_quic(server));
                    address
                }
                Kind::H3 => {
                    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
                    let address = socket.local_addr().unwrap();
                    let server = H3Server::with_socket_and_tls_config(socket, config).unwrap();
                    tokio::spawn(serving.serve_h3(server));
                    address
                }
            }
        });
        Self { kind, address, pin, ca, shared, _runtime: runtime }
    }

    /// Its URL, under this name.
    pub(crate) fn url(&self, name: &str) -> String {
        let scheme = match self.kind {
            Kind::Tls => "tls",
            Kind::Https => "https",
            Kind::Quic => "quic",
            Kind::H3 => "h3",
        };
        format!("{scheme}://{name}:{}", self.address.port())
    }

    /// Writes its authority's certificate.
    pub(crate) fn write_ca(&self, file: &Path) {
        std::fs::write(file, &self.ca).unwrap();
    }

    /// How many questions came.
    pub(crate) fn asked(&self) -> usize {
        self.shared.asked.load(Ordering::SeqCst)
    }

    /// How many connections were made whose handshake succeeded.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// The lengths of all questions, in octets.
    pub(crate) fn lengths(&self) -> Vec<usize> {
        self.shared.lengths.lock().unwrap().clone()
    }

    /// From now on it takes so long.
    pub(crate) fn now_takes(&self, delay: Duration) {
        *self.shared.delay.lock().unwrap() = delay;
    }

    /// From now on nothing is answered on the connections that there are, as when a router forgot them.
    pub(crate) fn go_deaf(&self) {
        self.shared.deaf_before.store(self.connections() + 1, Ordering::SeqCst);
    }

    /// Ends all connections that there are.
    pub(crate) fn hang_up(&self) {
        let _ = self.shared.hang_up.send(());
    }
}

impl Shared {
    /// Counts a connection; gives back its number.
    fn connected(&self) -> usize {
        self.connections.fetch_add(1, Ordering::SeqCst) + 1
    }

    async fn answer(&self, packet: &[u8], connection: usize) -> Vec<u8> {
        if connection < self.deaf_before.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.lengths.lock().unwrap().push(packet.len());
        let delay = *self.delay.lock().unwrap();
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        let question = Message::from_vec(packet).unwrap();
        let mut answer = answer_to(&question);
        answer.edns = None;
        let name = question.queries[0].name().clone();
        answer.add_answer(Record::from_rdata(name, 300, RData::A(A::new(198, 51, 100, 1))));
        answer.to_vec().unwrap()
    }

    async fn serve_tcp(self: Arc<Self>, listener: TcpListener, acceptor: TlsAcceptor, kind: Kind) {
        while let Ok((tcp, _)) = listener.accept().await {
            let (this, acceptor) = (Arc::clone(&self), acceptor.clone());
            tokio::spawn(async move {
                let mut hang_up = this.hang_up.subscribe();
                tcp.set_nodelay(true).unwrap();
                let Ok(tls) = acceptor.accept(tcp).await else { return };
                let number = this.connected();
                let serve = async {
                    match kind {
                        Kind::Https => Arc::clone(&this).serve_h2(tls, number).await,
                        _ => Arc::clone(&this).serve_tls(tls, number).await,
                    }
                };
                tokio::select! {
                    _ = serve => {}
                    _ = hang_up.recv() => {}
                }
            });
        }
    }

    /// Answers in the order in which answers are ready.
    async fn serve_tls(
        self: Arc<Self>,
        tls: tokio_rustls::server::TlsStream<tokio::net::TcpStream>,
        number: usize,
    ) -> Option<()> {
        let (mut reading, mut writing) = tokio::io::split(tls);
        let (ready, mut answers) = tokio::sync::mpsc::channel::<Vec<u8>>(1_000);
        let write = async move {
            while let Some(answer) = answers.recv().await {
                let length = u16::try_from(answer.len()).unwrap().to_be_bytes();
                writing.write_all(&[&length, &answer[..]].concat()).await.ok()?;
                writing.flush().await.ok()?;
            }
            Some(())
        };
        let read = async move {
            loop {
                let length = reading.read_u16().await.ok()?;
                let mut packet = vec![0; usize::from(length)];
                reading.read_exact(&mut packet).await.ok()?;
                let (this, ready) = (Arc::clone(&self), ready.clone());
                tokio::spawn(async move { ready.send(this.answer(&packet, number).await).await });
            }
        };
        tokio::select! {
            ended = read => ended,
            ended = write => ended,
        }
    }

    async fn serve_h2(
        self: Arc<Self>,
        tls: tokio_rustls::server::TlsStream<tokio::net::TcpStream>,
        number: usize,
    ) -> Option<()> {
        let mut connection = h2::server::handshake(tls).await.ok()?;
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            let this = Arc::clone(&self);
            tokio::spawn(async move {
                assert_eq!(request.uri().path(), "/dns-query");
                let mut body = request.into_body();
                let mut packet = Vec::new();
                while let Some(Ok(chunk)) = body.data().await {
                    packet.extend_from_slice(&chunk);
                }
                let answer = this.answer(&packet, number).await;
                let head = axum::http::Response::builder().header("content-type", "application/dns-message");
                let mut stream = respond.send_response(head.body(()).unwrap(), false).ok()?;
                stream.send_data(Bytes::from(answer), true).ok()
            });
        }
        Some(())
    }

    async fn serve_quic(self: Arc<Self>, mut server: QuicServer) {
        loop {
            let Ok(Some((mut streams, _))) = server.next().await else { continue };
            let mut hang_up = self.hang_up.subscribe();
            let number = self.connected();
            let this = Arc::clone(&self);
            tokio::spawn(async move {
                loop {
                    let stream = tokio::select! {
                        stream = streams.next() => stream,
                        _ = hang_up.recv() => return,
                    };
                    let Some(Ok(mut stream)) = stream else { return };
                    let this = Arc::clone(&this);
                    tokio::spawn(async move {
                        let packet = stream.receive_bytes().await.ok()?;
                        let answer = this.answer(&packet, number).await;
                        stream.send_bytes(Bytes::from(answer)).await.ok()?;
                        stream.finish().await.ok()
                    });
                }
            });
        }
    }

    async fn serve_h3(self: Arc<Self>, mut server: H3Server) {
        loop {
            let Ok(Some((mut connection, _))) = server.accept().await else { continue };
            let mut hang_up = self.hang_up.subscribe();
            let number = self.connected();
            let this = Arc::clone(&self);
            tokio::spawn(async move {
                loop {
                    let request = tokio::select! {
                        request = connection.accept() => request,
                        _ = hang_up.recv() => return,
                    };
                    let Some(Ok((request, mut stream))) = request else { return };
                    assert_eq!(request.uri().path(), "/dns-query");
                    let this = Arc::clone(&this);
                    tokio::spawn(async move {
                        let mut packet = Vec::new();
                        while let Ok(Some(mut chunk)) = stream.recv_data().await {
                            let length = bytes::Buf::remaining(&chunk);
                            packet.extend_from_slice(&bytes::Buf::copy_to_bytes(&mut chunk, length));
                        }
                        let answer = this.answer(&packet, number).await;
                        let head =
                            axum::http::Response::builder().header("content-type", "application/dns-message");
                        stream.send_response(head.body(()).unwrap()).await.ok()?;
                        stream.send_data(Bytes::from(answer)).await.ok()?;
                        stream.finish().await.ok()
                    });
                }
            });
        }
    }
}
