//! `/help`: how a router or a device is made to ask here, with this machine's own address in every step.

use std::net::IpAddr;
use std::sync::Arc;

use askama::Template;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, Uri, header};
use qrcode::{EcLevel, QrCode};

use super::welcome::{BLOCKED_NAME, Server};
use super::{Page, page};
use crate::web::serve::OverTls;
use crate::web::view::{Frame, Tab};
use crate::web::{About, Web};

#[derive(Template)]
#[template(path = "help.html")]
pub(super) struct Help {
    pub(super) frame: Frame,
    /// The address that devices are to ask, or words in its place.
    pub(super) server: String,
    pub(super) is_known: bool,
    /// An IPv6 address of this machine that devices may be given too.
    pub(super) server_v6: Option<String>,
    /// The port, where it is not the one that devices ask at.
    pub(super) other_port: Option<u16>,
    /// Only this machine itself can ask.
    pub(super) is_loopback: bool,
    pub(super) dig: String,
    pub(super) nslookup: String,
    /// The page's address for a phone.
    pub(super) phone: Option<Phone>,
}

/// The address of the page, to be looked at by a phone's camera.
pub(super) struct Phone {
    pub(super) address: String,
    /// How many modules it is wide, with the quiet zone.
    pub(super) width: usize,
    /// The dark modules, as the path of an SVG image.
    pub(super) path: String,
}

/// The light margin that readers need, in modules (ISO/IEC 18004).
const QUIET_ZONE: usize = 4;

impl Phone {
    pub(super) fn new(address: String) -> Option<Self> {
        let code = QrCode::with_error_correction_level(&address, EcLevel::M).ok()?;
        let width = code.width();
        let mut path = String::new();
        // One stroke for each run of dark modules in a row.
        for (y, row) in code.to_colors().chunks(width).enumerate() {
            let mut x = 0;
            for run in row.chunk_by(|one, other| one == other) {
                if run.first() == Some(&qrcode::Color::Dark) {
                    let (left, top, length) = (x + QUIET_ZONE, y + QUIET_ZONE, run.len());
                    path.push_str(&format!("M{left} {top}h{length}v1h-{length}z"));
                }
                x += run.len();
            }
        }
        Some(Self { address, width: width + 2 * QUIET_ZONE, path })
    }
}

/// Where a phone finds the page: as the browser called it, unless that name means the browser's own machine.
fn page_address(about: &About, host: &str, server: &Server) -> Option<String> {
    let name =
        host.rsplit_once(':').map_or(host, |(name, port)| if port.ends_with(']') { host } else { name });
    let is_local = name.eq_ignore_ascii_case("localhost")
        || name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    if !is_local && !host.is_empty() {
        return Some(format!("http://{host}/"));
    }
    let reachable = about.web_listen.iter().find(|listen| !listen.ip().is_loopback())?;
    let address = if reachable.ip().is_unspecified() { server.address? } else { reachable.ip() };
    let is_reachable = !address.is_loopback() && !address.is_unspecified();
    is_reachable.then(|| format!("http://{}/", std::net::SocketAddr::new(address, reachable.port())))
}

pub(super) async fn show(
    State(web): State<Arc<Web>>,
    uri: Uri,
    headers: HeaderMap,
    tls: Option<Extension<OverTls>>,
) -> Page {
    let about = (web.parts.about)();
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let server = Server::of(&about, host);
    let is_global_v6 = |address: &IpAddr| match address {
        IpAddr::V6(address) => {
            !address.is_loopback() && !address.is_unspecified() && !address.is_unicast_link_local()
        }
        IpAddr::V4(_) => false,
    };
    let server_v6 = about.dns_listen.iter().map(std::net::SocketAddr::ip).find(is_global_v6);
    let phone = page_address(&about, host, &server);
    let phone = phone.map(|address| match tls {
        Some(_) => address.replacen("http:", "https:", 1),
        None => address,
    });
    page(&Help {
        frame: Frame::new(&web, &uri, Tab::Other),
        is_known: server.address.is_some(),
        server_v6: server_v6.filter(|address| Some(*address) != server.address).map(|it| it.to_string()),
        other_port: Some(server.port).filter(|port| *port != 53),
        is_loopback: server.address.is_some_and(|address| address.is_loopback()),
        dig: server.dig(),
        nslookup: format!("nslookup {BLOCKED_NAME}"),
        phone: phone.and_then(Phone::new),
        server: server.shown(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phone_is_told_an_address_that_it_reaches() {
        let address = |web: &[&str], dns: &[&str], host: &str| {
            let parsed = |all: &[&str]| all.iter().map(|address| address.parse().unwrap()).collect();
            let about = About { web_listen: parsed(web), dns_listen: parsed(dns), ..About::default() };
            page_address(&about, host, &Server::of(&about, host))
        };
        let at = |address: &str| Some(format!("http://{address}/"));
        assert_eq!(address(&["0.0.0.0:8053"], &[], "pi.lan:8053"), at("pi.lan:8053"));
        assert_eq!(address(&["0.0.0.0:8053"], &[], "[fd00::5]:8053"), at("[fd00::5]:8053"));
        assert_eq!(address(&["0.0.0.0:8053"], &["192.168.1.5:53"], "localhost:8053"), at("192.168.1.5:8053"));
        assert_eq!(address(&["192.168.1.6:80"], &["192.168.1.5:53"], "127.0.0.1:8053"), at("192.168.1.6:80"));
        assert_eq!(address(&["127.0.0.1:8053"], &["192.168.1.5:53"], "127.0.0.1:8053"), None);
        assert_eq!(address(&["0.0.0.0:8053"], &["0.0.0.0:53"], "[::1]:8053"), None);
        assert_eq!(address(&[], &[], ""), None);
    }

    /// Draws the path again, and has every module where the encoder put it.
    #[test]
    fn every_dark_module_is_drawn_once() {
        let address = "http://192.168.1.5:8053/";
        let phone = Phone::new(address.to_owned()).unwrap();
        let code = QrCode::with_error_correction_level(address, EcLevel::M).unwrap();
        assert_eq!(phone.width, code.width() + 8);
        let mut drawn = std::collections::BTreeSet::new();
        for stroke in phone.path.split('M').skip(1) {
            let (place, rest) = stroke.split_once('h').unwrap();
            let (x, y) = place.split_once(' ').unwrap();
            let (x, y): (usize, usize) = (x.parse().unwrap(), y.parse().unwrap());
            let length: usize = rest.split_once('v').unwrap().0.parse().unwrap();
            assert!((x..x + length).all(|x| drawn.insert((x - 4, y - 4))));
        }
        let width = code.width();
        let dark = (0..width).flat_map(|y| (0..width).map(move |x| (x, y)));
        let dark = dark.filter(|&(x, y)| code[(x, y)] == qrcode::Color::Dark).collect();
        assert_eq!(drawn, dark);
    }
}
