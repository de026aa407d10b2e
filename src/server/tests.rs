//! What clients get that a test can't be over a real socket: those outside the house, and those whose question is our mistake.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use hickory_proto::op::{Message, Query};
use hickory_proto::rr::{Name, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::event::{EventSink, EventWriter, Told};
use crate::resolve::Resolver;

/// Takes every event but one, over which it falls.
struct Sink;

impl EventSink for Sink {
    fn writer(&self) -> Box<dyn EventWriter> {
        Box::new(Self)
    }
}

impl EventWriter for Sink {
    fn write(&mut self, told: &Told<'_>) {
        assert!(told.name.to_string() != "mistake.example", "as the test wants it");
    }
}

/// One that answers these prefixes too. Nothing is blocked, and the questions here need no upstream.
fn responder(allow_from: &[&str], responses_per_second: u32) -> Responder {
    let Config { resolve, server, .. } = Config::default();
    let mut access = Access { responses_per_second, ..server.access };
    access.allow_from.extend(allow_from.iter().map(|prefix| prefix.parse::<ipnet::IpNet>().unwrap()));
    let clock = Arc::new(SystemClock);
    let resolver = Arc::new(Resolver::new(&resolve, clock.clone()));
    Responder::new(clock, Arc::default(), Arc::default(), Arc::default(), resolver, Arc::new(Sink), access)
}

fn packet(name: &str) -> Vec<u8> {
    let mut message = Message::query();
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), RecordType::ANY));
    message.to_vec().unwrap()
}

/// What comes back: how many records, or that it is truncated, or nothing.
async fn asked(responder: &Responder, client: &str, transport: Transport) -> String {
    let client = SocketAddr::new(client.parse::<IpAddr>().unwrap(), 4000);
    match responder.respond(&packet("www.example."), client, transport).await {
        None => "nothing".to_owned(),
        Some(answer) => {
            let answer = Message::from_vec(&answer).unwrap();
            assert_eq!(answer.queries.len(), 1);
            match answer.metadata.truncation {
                true => format!("truncated {}", answer.answers.len()),
                false => format!("whole {}", answer.answers.len()),
            }
        }
    }
}

#[tokio::test]
async fn a_flood_in_the_name_of_a_stranger_is_not_passed_on() {
    let responder = responder(&["203.0.113.0/24"], 20);
    for _ in 0..20 {
        assert_eq!(asked(&responder, "203.0.113.5", Transport::Udp).await, "whole 1");
    }
    // A new second may begin meanwhile, which gives twenty more.
    let mut then = Vec::new();
    for _ in 0..100 {
        then.push(asked(&responder, "203.0.113.6", Transport::Udp).await);
    }
    let count = |what: &str| then.iter().filter(|answer| *answer == what).count();
    assert!((30..=50).contains(&count("truncated 0")) && (30..=50).contains(&count("nothing")), "{then:?}");
    assert_eq!(
        asked(&responder, "203.0.113.5", Transport::Tcp).await,
        "whole 1",
        "whoever connects is no victim"
    );
    for _ in 0..100 {
        assert_eq!(asked(&responder, "192.168.1.5", Transport::Udp).await, "whole 1", "nor is the house");
    }
    let counts = responder.limits().counts();
    assert_eq!(counts.rate_answered + counts.rate_truncated + counts.rate_dropped, 120);
}

#[tokio::test]
async fn a_network_of_this_machine_is_of_the_house() {
    let responder = responder(&[], 1);
    assert_eq!(asked(&responder, "198.51.100.7", Transport::Udp).await, "nothing");
    responder.set_networks(vec!["198.51.100.1/24".parse().unwrap()]);
    for _ in 0..50 {
        assert_eq!(asked(&responder, "198.51.100.7", Transport::Udp).await, "whole 1");
    }
}

#[tokio::test]
async fn a_mistake_of_ours_ends_one_connection_only() {
    let responder = Arc::new(responder(&[], 0));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let cancel = CancellationToken::new();
    let server = tokio::spawn(tcp::serve(listener, Arc::clone(&responder), cancel.clone()));
    let ask = async |stream: &mut TcpStream, name: &str| {
        let packet = packet(name);
        stream.write_u16(u16::try_from(packet.len()).unwrap()).await.unwrap();
        stream.write_all(&packet).await.unwrap();
        stream.read_u16().await
    };
    let mut other = TcpStream::connect(address).await.unwrap();
    let length = ask(&mut other, "www.example.").await.unwrap();
    other.read_exact(&mut vec![0; length.into()]).await.unwrap();
    let mut unlucky = TcpStream::connect(address).await.unwrap();
    assert!(ask(&mut unlucky, "mistake.example.").await.is_err());
    assert!(ask(&mut other, "www.example.").await.is_ok());
    assert!(ask(&mut TcpStream::connect(address).await.unwrap(), "www.example.").await.is_ok());
    assert_eq!(responder.in_flight(), 0);
    cancel.cancel();
    server.await.unwrap();
    assert_eq!(responder.limits().counts().connections, 0);
}
