//! TLS from files that a person, or their ACME client, keeps: read at the start, at a reload, and when they change.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::{ArcSwap, ArcSwapOption};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;
use tracing::{error, info};

/// How often the files are looked at: a certificate that was renewed is served within this time.
const LOOK: Duration = Duration::from_secs(10);

/// Where certificate and key are.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TlsFiles {
    /// The certificate and what leads to its authority, as PEM.
    pub certificate: PathBuf,
    /// Its private key, as PEM.
    pub key: PathBuf,
}

/// Why a page can't be served over TLS.
#[derive(Debug, thiserror::Error)]
#[error("web.tls: {}: {why}", file.display())]
pub struct TlsError {
    file: PathBuf,
    why: String,
}

/// When both files were written last.
type Stamp = [Option<SystemTime>; 2];

/// How a connection to the page begins.
pub(super) enum Door {
    Plain,
    Tls(TlsAcceptor),
    /// TLS is wanted and can't be had: nothing is said in the clear that was to be hidden.
    Closed,
}

/// TLS as it is now; none at first.
#[derive(Default)]
pub struct Tls {
    current: ArcSwapOption<ServerConfig>,
    files: ArcSwapOption<(TlsFiles, Stamp)>,
    problem: ArcSwap<Option<String>>,
}

/// A certificate that was read and is not in force yet.
pub struct Loaded(Option<(TlsFiles, Stamp, Arc<ServerConfig>)>);

impl Tls {
    /// Reads the files; without any there is to be no TLS. Nothing changes before [`Self::put_in_force`].
    ///
    /// # Errors
    /// When a file can't be read, is not what it should be, or they do not belong together.
    pub fn load(files: Option<&TlsFiles>) -> Result<Loaded, TlsError> {
        let Some(files) = files else { return Ok(Loaded(None)) };
        let stamp = stamp(files);
        Ok(Loaded(Some((files.clone(), stamp, Arc::new(read(files)?)))))
    }

    /// Serves the next connections with what was loaded.
    pub fn put_in_force(&self, loaded: Loaded) {
        let (files, config) =
            loaded.0.map(|(files, stamp, config)| (Arc::new((files, stamp)), config)).unzip();
        self.files.store(files);
        self.current.store(config);
        self.problem.store(Arc::default());
    }

    /// Begins with these files. With some that can't be used the page is closed until they can: names are answered all the same.
    pub fn begin(&self, files: Option<&TlsFiles>) {
        match (Self::load(files), files) {
            (Err(error), Some(files)) => self.close(files, &error),
            (loaded, _) => loaded.into_iter().for_each(|loaded| self.put_in_force(loaded)),
        }
    }

    fn close(&self, files: &TlsFiles, error: &TlsError) {
        // As if they had never been there, so that they are looked at again.
        self.files.store(Some(Arc::new((files.clone(), [None; 2]))));
        self.current.store(None);
        self.tell(format!(
            "The page is closed, and all else goes on: {error}. Mend it; it is tried again by itself."
        ));
    }

    fn tell(&self, problem: String) {
        error!("{problem}");
        self.problem.store(Arc::new(Some(problem)));
    }

    /// What is wrong with the files, while those before stay in force, if there were any.
    pub fn problem(&self) -> Option<String> {
        self.problem.load().as_ref().clone()
    }

    /// Takes over what is new in the files, for ever.
    pub async fn watch(self: Arc<Self>) {
        let mut tried = None;
        loop {
            tokio::time::sleep(LOOK).await;
            let Some(known) = self.files.load_full() else { continue };
            let (files, before) = known.as_ref();
            let Ok(now) = tokio::task::spawn_blocking({
                let files = files.clone();
                move || stamp(&files)
            })
            .await
            else {
                continue;
            };
            // What can't be used is tried again when it has changed again: a key is often written after its certificate.
            if now == *before || tried == Some(now) {
                continue;
            }
            tried = Some(now);
            self.take_over(files);
        }
    }

    fn take_over(&self, files: &TlsFiles) {
        match Self::load(Some(files)) {
            Ok(loaded) => {
                self.put_in_force(loaded);
                info!(certificate = %files.certificate.display(), "the page has a new certificate");
            }
            Err(error) if self.current.load().is_none() => self.close(files, &error),
            Err(error) => self.tell(format!("The page keeps the certificate that it had: {error}.")),
        }
    }

    /// How the next connection begins.
    pub(super) fn door(&self) -> Door {
        match self.current.load_full() {
            Some(config) => Door::Tls(config.into()),
            None if self.files.load().is_some() => Door::Closed,
            None => Door::Plain,
        }
    }
}

fn stamp(files: &TlsFiles) -> Stamp {
    let modified = |file: &Path| std::fs::metadata(file).and_then(|metadata| metadata.modified()).ok();
    [modified(&files.certificate), modified(&files.key)]
}

fn read(files: &TlsFiles) -> Result<ServerConfig, TlsError> {
    let refuse = |file: &Path, why: String| TlsError { file: file.to_owned(), why };
    let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect)
        .map_err(|error| refuse(&files.certificate, error.to_string()))?;
    if certificates.is_empty() {
        let why = "there is no certificate in it; it should have `-----BEGIN CERTIFICATE-----`".to_owned();
        return Err(refuse(&files.certificate, why));
    }
    let key =
        PrivateKeyDer::from_pem_file(&files.key).map_err(|error| refuse(&files.key, error.to_string()))?;
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(certificates, key);
    let mut config = config
        .map_err(|error| refuse(&files.key, format!("it does not belong to the certificate: {error}")))?;
    // HTTP/2 would let one connection ask for hundreds of things at once.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
