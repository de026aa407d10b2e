//! Between hickory-server's requests and our bytes.

use std::sync::Arc;

use hickory_net::runtime::Time;
use hickory_net::xfer::Protocol;
use hickory_proto::op::{Header, HeaderCounts, Message, MessageType, Metadata, ResponseCode};
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;
use tracing::debug;

use super::responder::{Responder, Transport};

/// Hands every request to the responder.
pub(super) struct Handler(pub(super) Arc<Responder>);

#[async_trait::async_trait]
impl RequestHandler for Handler {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        mut response_handle: R,
    ) -> ResponseInfo {
        let transport = if request.protocol() == Protocol::Udp { Transport::Udp } else { Transport::Tcp };
        let answer = self.0.respond(request.as_slice(), request.src(), transport).await;
        let Some(message) = answer.and_then(|answer| Message::from_vec(&answer).ok()) else {
            return nothing_sent(request);
        };
        let edns = message.edns.as_ref();
        let response = MessageResponseBuilder::new(&request.queries, edns).build(
            message.metadata,
            &message.answers,
            [],
            &message.authorities,
            &message.additionals,
        );
        match response_handle.send_response(response).await {
            Ok(info) => info,
            Err(error) => {
                debug!(%error, client = %request.src(), "an answer could not be sent");
                nothing_sent(request)
            }
        }
    }
}

/// hickory wants to know what was sent, for its log; this says that nothing useful was.
fn nothing_sent(request: &Request) -> ResponseInfo {
    let mut metadata = Metadata::new(request.metadata.id, MessageType::Response, request.metadata.op_code);
    metadata.response_code = ResponseCode::ServFail;
    Header { metadata, counts: HeaderCounts::default() }.into()
}
