//! How it is known that an encrypted upstream is the one that is meant.
//!
//! Its certificate must be in force, for its name, and of an authority that this machine or the configuration trusts; where the
//! configuration pins keys, its key must be one of them too. Only where it says that the name is not checked, the key alone is
//! enough (RFC 7858 section 4.2). Nothing is ever skipped because it fails: an upstream that can't be verified is not asked.

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use sha2::{Digest, Sha256};

use super::address::Transport;
use super::options::{Pin, UpstreamOptions};
use crate::clock::Clock;

/// No machine on which this runs was right to think that it is earlier (2026-11-01): a Raspberry Pi starts in 1970 or when it was
/// last shut down, until it has asked a time server.
const CLOCK_RIGHT_SINCE: i64 = 1_793_491_200;

/// Whether this machine may know what time it is.
pub(super) fn is_clock_set(now: Timestamp) -> bool {
    CLOCK_RIGHT_SINCE <= now.as_second()
}

/// How many sessions are remembered to be resumed: some for each connection that is open at once.
const SESSIONS_MAX: usize = 16;

/// How connections to one upstream are secured. Sessions of earlier connections are resumed as long as it lives.
pub(super) struct Tls {
    pub(super) config: Arc<ClientConfig>,
    guard: Arc<Guard>,
}

impl Tls {
    /// Reads files: not for an asynchronous task.
    ///
    /// # Errors
    /// Why nobody can be trusted.
    pub(super) fn new(options: &UpstreamOptions, clock: Arc<dyn Clock>) -> Result<Self, Arc<str>> {
        let provider = Arc::new(ring::default_provider());
        let authority = if options.checks_name {
            let roots = Arc::new(roots(options.ca.as_deref())?);
            let verifier = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider)).build();
            Some(verifier.map_err(|error| Arc::from(error.to_string()))?)
        } else {
            None
        };
        let guard = Arc::new(Guard {
            authority,
            pins: options.pins.clone(),
            provider: Arc::clone(&provider),
            clock,
            checks: AtomicU64::new(0),
            refusal: Mutex::new(None),
        });
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let mut config = config
            .map_err(|error| Arc::from(error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&guard) as Arc<dyn ServerCertVerifier>)
            .with_no_client_auth();
        config.resumption = Resumption::in_memory_sessions(SESSIONS_MAX);
        // What is sent before the handshake is done may be sent again by others.
        config.enable_early_data = false;
        let alpn: &[&[u8]] = match options.address.transport {
            // Not asked for by RFC 7858, and servers without it end the handshake.
            Transport::Udp | Transport::Tcp | Transport::Tls => &[],
            Transport::Https => &[b"h2"],
            Transport::H3 => &[b"h3"],
            Transport::Quic => &[b"doq"],
        };
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        Ok(Self { config: Arc::new(config), guard })
    }

    /// Why the last certificate was refused, once.
    pub(super) fn take_refusal(&self) -> Option<Arc<str>> {
        self.guard.refusal.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// How many certificates were checked: a connection that resumes a session shows none.
    pub(super) fn checks(&self) -> u64 {
        self.guard.checks.load(Ordering::Relaxed)
    }
}

/// Reads the file of an upstream's own authority.
///
/// # Errors
/// What is wrong with it.
pub fn check_authority(file: &Path) -> Result<(), Arc<str>> {
    // Opening a pipe would wait for its writer.
    if file.exists() && !file.is_file() {
        return Err(format!("{}: it is not a file", file.display()).into());
    }
    roots(Some(file)).map(drop)
}

fn roots(ca: Option<&Path>) -> Result<RootCertStore, Arc<str>> {
    let mut store = RootCertStore::empty();
    if let Some(file) = ca {
        let unreadable = |error: &dyn fmt::Display| {
            Arc::from(format!("{}: {error}; it must hold certificates in PEM form", file.display()))
        };
        for certificate in CertificateDer::pem_file_iter(file).map_err(|error| unreadable(&error))? {
            let certificate = certificate.map_err(|error| unreadable(&error))?;
            store.add(certificate).map_err(|error| unreadable(&error))?;
        }
        if store.is_empty() {
            return Err(unreadable(&"there is no certificate in it"));
        }
        return Ok(store);
    }
    store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if store.is_empty() {
        return Err("this machine has no certificates of authorities, so that nobody can be trusted; install the package \
                    `ca-certificates`, or name a file with `ca`"
            .into());
    }
    Ok(store)
}

/// Checks certificates, and remembers why it refused one: not every transport tells that.
struct Guard {
    /// `None` where the key alone counts.
    authority: Option<Arc<WebPkiServerVerifier>>,
    pins: Vec<Pin>,
    provider: Arc<CryptoProvider>,
    clock: Arc<dyn Clock>,
    checks: AtomicU64,
    refusal: Mutex<Option<Arc<str>>>,
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("pins", &self.pins).finish_non_exhaustive()
    }
}

impl Guard {
    fn refuse(&self, why: String) {
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(why.into());
    }

    fn check_pins(&self, certificate: &CertificateDer<'_>) -> Result<(), Error> {
        if self.pins.is_empty() && self.authority.is_some() {
            return Ok(());
        }
        let key = ParsedCertificate::try_from(certificate)?.subject_public_key_info();
        let found = Pin(Sha256::digest(&key).into());
        if self.pins.contains(&found) {
            return Ok(());
        }
        self.refuse(format!(
            "its key is {found}, and none of its pins; if its key was changed on purpose, write the new one into `pin`"
        ));
        Err(CertificateError::ApplicationVerificationFailure.into())
    }
}

impl ServerCertVerifier for Guard {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.checks.fetch_add(1, Ordering::Relaxed);
        if let Some(authority) = &self.authority {
            authority
                .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
                .inspect_err(|error| self.refuse(explain(error, server_name, self.clock.now())))?;
        }
        self.check_pins(end_entity)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// What is wrong with a certificate and what to do about it.
fn explain(error: &Error, name: &ServerName<'_>, now: Timestamp) -> String {
    let name = name.to_str();
    let Error::InvalidCertificate(error) = error else { return error.to_string() };
    let day = |time: &UnixTime| {
        let day = i64::try_from(time.as_secs()).ok().and_then(|secs| Timestamp::from_second(secs).ok());
        day.map_or_else(|| "an unknown day".to_owned(), |day| day.strftime("%Y-%m-%d").to_string())
    };
    let clock = || {
        let today = now.strftime("%Y-%m-%d %H:%M");
        if !is_clock_set(now) {
            format!(
                "the clock of this machine is not set: it says {today} UTC; certificates can be checked when it has asked a time server"
            )
        } else {
            format!("or the clock of this machine is wrong, which says {today} UTC")
        }
    };
    match error {
        CertificateError::NotValidYet | CertificateError::Expired if !is_clock_set(now) => {
            format!("its certificate can't be checked: {}", clock())
        }
        CertificateError::NotValidYetContext { .. } | CertificateError::ExpiredContext { .. }
            if !is_clock_set(now) =>
        {
            format!("its certificate can't be checked: {}", clock())
        }
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!("its certificate is in force from {} on only, {}", day(not_before), clock())
        }
        CertificateError::ExpiredContext { not_after, .. } => {
            format!("its certificate was in force until {} only, {}", day(not_after), clock())
        }
        CertificateError::NotValidForNameContext { presented, .. } => {
            // `DnsName("dns.example")`
            let bare = |name: &String| name.split('"').nth(1).unwrap_or(name).to_owned();
            let presented: Vec<String> = presented.iter().map(bare).collect();
            let presented = if presented.is_empty() { "no name".to_owned() } else { presented.join(", ") };
            format!(
                "its certificate is for {presented} and not for `{name}`; if it is the one that is meant, write its name as `name` in the \
                 table form of this upstream"
            )
        }
        CertificateError::UnknownIssuer => {
            "its certificate is of nobody whom this machine trusts; name the file of an authority of your own as `ca`, or its key as `pin`"
                .to_owned()
        }
        error => format!("its certificate is not valid: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(error: CertificateError, now: i64, expected: &[&str]) {
        let name = ServerName::try_from("dns.example").unwrap();
        let now = Timestamp::from_second(now).unwrap();
        let text = explain(&error.into(), &name, now);
        for words in expected {
            assert!(text.contains(words), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_certificate_is_told_with_what_to_do() {
        let at = |secs| UnixTime::since_unix_epoch(std::time::Duration::from_secs(secs));
        let (early, late) = (30, CLOCK_RIGHT_SINCE + 86_400);
        let not_yet = || CertificateError::NotValidYetContext { time: at(30), not_before: at(1_790_000_000) };
        check(not_yet(), early, &["the clock of this machine is not set", "1970-01-01", "time server"]);
        check(not_yet(), late, &["in force from 2026-09-21", "clock of this machine is wrong", "2026-11-02"]);
        let expired =
            CertificateError::ExpiredContext { time: at(1_793_500_000), not_after: at(1_790_000_000) };
        check(expired, late, &["until 2026-09-21"]);
        let other = CertificateError::NotValidForNameContext {
            expected: ServerName::try_from("dns.example").unwrap(),
            presented: vec!["DnsName(\"other.example\")".to_owned()],
        };
        check(other, late, &["is for other.example and", "not for `dns.example`", "`name`"]);
        check(CertificateError::UnknownIssuer, late, &["`ca`", "`pin`"]);
    }
}
