//! The JSON API over the daemon's Unix socket.

use std::error::Error as _;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use reqwest::{Client, Method, RequestBuilder};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::CliError;
use crate::config::{Config, DEFAULT_FILE};
use crate::web::api;

/// The socket's file name, in the runtime or data directory.
pub const SOCKET_NAME: &str = "control.sock";

/// Where the daemon's socket may be: the runtime directory of the service, then the data directories. A daemon of another
/// configuration than the one that was named is never spoken to.
pub fn socket_candidates(config: &Config) -> Vec<PathBuf> {
    let is_service = config.file.as_ref().is_none_or(|file| file == Path::new(DEFAULT_FILE));
    let mut directories = Vec::new();
    if is_service {
        directories.push(PathBuf::from("/run/pixelsink"));
    }
    directories.push(config.data_dir.clone());
    if config.file.is_none() {
        directories.extend(crate::config::user_data_dir());
    }
    directories.into_iter().map(|directory| directory.join(SOCKET_NAME)).collect()
}

/// Speaks to the running daemon.
pub(super) struct Daemon {
    client: Client,
}

impl Daemon {
    /// Finds the daemon's socket.
    pub(super) fn find(config: &Config) -> Result<Self, CliError> {
        let candidates = socket_candidates(config);
        let answers = |socket: &&PathBuf| std::os::unix::net::UnixStream::connect(socket);
        let mut denied = None;
        for socket in &candidates {
            match answers(&socket) {
                Ok(_) => return Self::connect(socket),
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    denied = Some((socket.display().to_string(), error.to_string()));
                }
                Err(_) => {}
            }
        }
        if let Some((socket, reason)) = denied {
            return Err(CliError::Denied { socket, reason });
        }
        let tried: Vec<String> = candidates.iter().map(|socket| socket.display().to_string()).collect();
        Err(CliError::NotRunning { tried: tried.join(" or ") })
    }

    fn connect(socket: &Path) -> Result<Self, CliError> {
        let client = Client::builder().unix_socket(socket).build();
        Ok(Self { client: client.map_err(|error| CliError::Answer(error.to_string()))? })
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        // The host is not looked up: the socket decides who answers.
        self.client.request(method, format!("http://localhost/api/v1/{path}"))
    }

    /// Asks for something.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T, CliError> {
        read(self.request(Method::GET, &with_query(path, query))).await
    }

    /// Asks for a text that is passed on as it is.
    pub(super) async fn text(&self, path: &str, query: &[(&str, &str)]) -> Result<String, CliError> {
        let body = read_bytes(self.request(Method::GET, &with_query(path, query))).await?;
        String::from_utf8(body).map_err(|error| CliError::Answer(error.to_string()))
    }

    /// The address of the device that a person means: by its name, in any case, or by an address.
    pub(super) async fn device(&self, meant: &str) -> Result<String, CliError> {
        // Within a single hour little is counted; every device that ever asked is named all the same.
        let devices: Vec<api::DeviceCount> = self.get("devices", &[("hours", "1")]).await?;
        let is_meant = |it: &&api::DeviceCount| {
            it.device.key.eq_ignore_ascii_case(meant) || it.device.name.to_lowercase() == meant.to_lowercase()
        };
        let found: Vec<&api::DeviceCount> = devices.iter().filter(is_meant).collect();
        match found.as_slice() {
            [one] => Ok(one.device.key.clone()),
            // One that is written in another way (`AA-BB-...`), or that never asked: the daemon says so.
            [] if meant.contains([':', '.']) || meant.matches('-').count() == 5 => Ok(meant.to_owned()),
            [] => {
                let names: Vec<&str> = devices.iter().map(|it| &*it.device.name).collect();
                let known = if names.is_empty() { "none has asked yet".to_owned() } else { names.join(", ") };
                Err(CliError::Usage(format!("no device is called `{meant}`; there are: {known}")))
            }
            several => {
                let keys: Vec<&str> = several.iter().map(|it| &*it.device.key).collect();
                let message = format!("several devices are called `{meant}`; say which: {}", keys.join(", "));
                Err(CliError::Usage(message))
            }
        }
    }

    /// Passes on what is asked for as it comes.
    pub(super) async fn download(
        &self,
        path: &str,
        query: &[(&str, &str)],
        target: &mut impl Write,
    ) -> Result<(), CliError> {
        let unreadable = |error: reqwest::Error| CliError::Answer(error.to_string());
        let request = self.request(Method::GET, &with_query(path, query));
        let mut answer = request.send().await.map_err(unreadable)?;
        if !answer.status().is_success() {
            let body = answer.bytes().await.map_err(unreadable)?;
            let refused = serde_json::from_slice::<api::Error>(&body);
            return Err(refused
                .map_or_else(|error| CliError::Answer(error.to_string()), |it| CliError::Refused(it.error)));
        }
        while let Some(part) = answer.chunk().await.map_err(unreadable)? {
            match target.write_all(&part) {
                // A reader that has gone away (`| head`) has what it wants.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
                written => {
                    written.map_err(|error| CliError::Usage(format!("it can't be written: {error}")))?;
                }
            }
        }
        Ok(())
    }

    /// Asks for something to be taken away.
    pub(super) async fn delete<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T, CliError> {
        read(self.request(Method::DELETE, &with_query(path, query))).await
    }

    /// Wishes for something.
    pub(super) async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        wish: &(impl Serialize + Sync),
    ) -> Result<T, CliError> {
        read(self.request(method, path).json(wish)).await
    }
}

async fn read<T: DeserializeOwned>(request: RequestBuilder) -> Result<T, CliError> {
    let body = read_bytes(request).await?;
    serde_json::from_slice(&body).map_err(|error| CliError::Answer(error.to_string()))
}

async fn read_bytes(request: RequestBuilder) -> Result<Vec<u8>, CliError> {
    let unreadable = |error: reqwest::Error| {
        let cause = error.source().map_or_else(|| error.to_string(), ToString::to_string);
        CliError::Answer(cause)
    };
    let answer = request.send().await.map_err(unreadable)?;
    let good = answer.status().is_success();
    let body = answer.bytes().await.map_err(unreadable)?;
    if good {
        return Ok(body.to_vec());
    }
    let wrong = |error: serde_json::Error| CliError::Answer(error.to_string());
    let refused: api::Error = serde_json::from_slice(&body).map_err(wrong)?;
    Err(CliError::Refused(refused.error))
}

fn with_query(path: &str, query: &[(&str, &str)]) -> String {
    let query: Vec<String> =
        query.iter().map(|(key, value)| format!("{key}={}", api::percent_encoded(value))).collect();
    format!("{path}?{}", query.join("&"))
}
