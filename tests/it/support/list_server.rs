//! A web server of lists on 127.0.0.1 that says what the test wants.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// What it answers: status line, headers, body.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) etag: Option<&'static str>,
    pub(crate) body: Vec<u8>,
    /// Goes on sending zeros for ever.
    pub(crate) endless: bool,
}

impl Reply {
    pub(crate) fn list(body: &str, etag: &'static str) -> Self {
        Self { status: 200, etag: Some(etag), body: body.into(), endless: false }
    }

    pub(crate) fn status(status: u16, body: &str) -> Self {
        Self { status, etag: None, body: body.into(), endless: false }
    }
}

pub(crate) struct ListServer {
    pub(crate) address: SocketAddr,
    reply: Arc<Mutex<Reply>>,
    /// The status of each answer that was given, 304 included.
    pub(crate) given: Arc<Mutex<Vec<u16>>>,
    stopped: Arc<AtomicBool>,
}

impl ListServer {
    pub(crate) fn start(reply: Reply) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (reply, given) = (Arc::new(Mutex::new(reply)), Arc::new(Mutex::new(Vec::new())));
        let stopped = Arc::new(AtomicBool::new(false));
        let (says, noted, ended) = (Arc::clone(&reply), Arc::clone(&given), Arc::clone(&stopped));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                let reply = says.lock().unwrap().clone();
                let noted = Arc::clone(&noted);
                std::thread::spawn(move || serve(stream, &reply, &noted));
            }
        });
        Self { address, reply, given, stopped }
    }

    pub(crate) fn now_says(&self, reply: Reply) {
        *self.reply.lock().unwrap() = reply;
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/list.txt", self.address)
    }
}

impl Drop for ListServer {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(mut stream: TcpStream, reply: &Reply, given: &Mutex<Vec<u16>>) {
    let mut known = None;
    for line in BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok) {
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(": ")
            && name.eq_ignore_ascii_case("if-none-match")
        {
            known = Some(value.to_owned());
        }
    }
    let unchanged = reply.etag.is_some() && known.as_deref() == reply.etag;
    let status = if unchanged { 304 } else { reply.status };
    given.lock().unwrap().push(status);
    let etag = reply.etag.map(|etag| format!("ETag: {etag}\r\n")).unwrap_or_default();
    let body = if unchanged { &[][..] } else { &reply.body[..] };
    let length = if reply.endless { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let head = format!("HTTP/1.1 {status} x\r\n{etag}{length}Connection: close\r\n\r\n");
    if stream.write_all(head.as_bytes()).is_err() || stream.write_all(body).is_err() {
        return;
    }
    while reply.endless && stream.write_all(&[b'a'; 65536]).is_ok() {}
}
