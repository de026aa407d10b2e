//! The built binary, running in a directory of its own.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tempfile::TempDir;

use super::eventually;

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_pixelsink");

pub(crate) struct Daemon {
    pub(crate) dns: SocketAddr,
    pub(crate) web: SocketAddr,
    child: Ended,
    home: Home,
    log: Arc<Mutex<String>>,
}

/// A directory with a configuration and data, in which one daemon after the other can run.
#[derive(Clone)]
pub(crate) struct Home(Arc<TempDir>);

impl Home {
    pub(crate) fn new() -> Self {
        Self(Arc::new(tempfile::tempdir().unwrap()))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path().join("pixelsink.toml")
    }

    /// Writes the configuration: free ports of 127.0.0.1, this upstream, a short flush, and what the test adds.
    pub(crate) fn configure(&self, upstream: SocketAddr, more: &str) {
        let data = self.path().join("data");
        let text = format!(
            "data_dir = \"{}\"\ndns.listen = [\"127.0.0.1:0\"]\nweb.listen = [\"127.0.0.1:0\"]\n\
             upstream.servers = [\"udp://{upstream}\"]\nhistory.flush = \"1s\"\n{more}",
            data.display()
        );
        std::fs::write(self.config(), text).unwrap();
    }

    /// The same with more to say about upstreams: what stands under `[upstream]`.
    pub(crate) fn configure_upstream(&self, upstream: &str, more: &str) {
        let data = self.path().join("data");
        let text = format!(
            "data_dir = \"{}\"\ndns.listen = [\"127.0.0.1:0\"]\nweb.listen = [\"127.0.0.1:0\"]\nhistory.flush = \"1s\"\n{more}\n\
             [upstream]\n{upstream}\n",
            data.display()
        );
        std::fs::write(self.config(), text).unwrap();
    }

    /// Starts a daemon here and waits until it is ready.
    #[track_caller]
    pub(crate) fn start(&self) -> Daemon {
        self.start_as(Command::new(BINARY))
    }

    /// The same by a command of the test's own, which runs the daemon with the arguments that are added to it.
    #[track_caller]
    pub(crate) fn start_as(&self, command: Command) -> Daemon {
        Daemon::spawn(self.clone(), command).unwrap_or_else(|log| panic!("the daemon did not start:\n{log}"))
    }

    /// Starts a daemon that is expected to refuse; gives back what it said.
    #[track_caller]
    pub(crate) fn start_fails(&self) -> String {
        match Daemon::spawn(self.clone(), Command::new(BINARY)) {
            Ok(_) => panic!("the daemon started"),
            Err(log) => log,
        }
    }

    /// Runs a subcommand with this configuration.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(BINARY);
        command.args(arguments).arg("--config").arg(self.config()).output().unwrap()
    }
}

impl Daemon {
    /// A daemon in a fresh directory.
    #[track_caller]
    pub(crate) fn start(upstream: SocketAddr, more: &str) -> Self {
        let home = Home::new();
        home.configure(upstream, more);
        home.start()
    }

    fn spawn(home: Home, mut command: Command) -> Result<Self, String> {
        let child = command
            .arg("run")
            .arg("--config")
            .arg(home.config())
            .env("RUST_BACKTRACE", "1")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut child = Ended(child);
        let log = Arc::new(Mutex::new(String::new()));
        let (stderr, written) = (child.0.stderr.take().unwrap(), Arc::clone(&log));
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let mut log = written.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        let started = eventually("the daemon is ready or gone", || {
            if let Some(_status) = child.0.try_wait().unwrap() {
                return Some(false);
            }
            log.lock().unwrap().lines().any(|line| line.ends_with(" ready")).then_some(true)
        });
        if !started {
            reader.join().unwrap();
            return Err(log.lock().unwrap().clone());
        }
        let address = |before: &str| {
            let log = log.lock().unwrap();
            let rest = log.split(before).nth(1)?;
            rest.split([' ', '/', '\n']).next()?.parse().ok()
        };
        let none = SocketAddr::from(([127, 0, 0, 1], 0));
        let dns = address("UDP and TCP address=").unwrap_or(none);
        let web = address("the page is at http://").unwrap_or(none);
        Ok(Self { dns, web, child, home, log })
    }

    pub(crate) fn home(&self) -> &Home {
        &self.home
    }

    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits until its log has this text, which may come a moment after what it tells of.
    #[track_caller]
    pub(crate) fn tells(&self, text: &str) {
        eventually(text, || self.log().contains(text).then_some(()));
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.0.id()
    }

    /// How many of something it has, by what /proc counts (proc(5)): `fd` or `task`.
    pub(crate) fn count_of(&self, what: &str) -> usize {
        std::fs::read_dir(format!("/proc/{}/{what}", self.pid())).unwrap().count()
    }

    /// How much memory it holds, in octets (`VmRSS`, proc(5)).
    pub(crate) fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.0.id())).unwrap();
        let held = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        held.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    }

    /// Sets how many files it may have open; gives back how many they were.
    pub(crate) fn limit_files(&self, count: Option<u64>) -> Option<u64> {
        let pid = rustix::process::Pid::from_child(&self.child.0);
        // It was started with ours.
        let maximum = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
        let limit = rustix::process::Rlimit { current: count, maximum };
        rustix::process::prlimit(Some(pid), rustix::process::Resource::Nofile, limit).unwrap().current
    }

    /// Sends a signal by its number (signal(7)).
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.0.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// Stops it as systemd does, and waits.
    pub(crate) fn stop(mut self) -> ExitStatus {
        self.signal("TERM");
        self.child.0.wait().unwrap()
    }

    /// Ends it as a power cut does.
    pub(crate) fn kill(mut self) {
        self.child.0.kill().unwrap();
        self.child.0.wait().unwrap();
    }

    /// Runs a subcommand against it; the output when it succeeds.
    #[track_caller]
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        let output = self.home.run(arguments);
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {words}\n{}", self.log());
        String::from_utf8(output.stdout).unwrap()
    }

    /// GETs JSON from the API.
    #[track_caller]
    pub(crate) fn api(&self, path: &str) -> Value {
        let body = self.get(&format!("/api/v1/{path}"));
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{path}: {error}: {body}"))
    }

    /// GETs a page.
    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> String {
        let (status, body) = self.request("GET", path, &[], "");
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// One HTTP request; status and body.
    pub(crate) fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> (u16, String) {
        let url = format!("http://{}{path}", self.web);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let _ = rustls::crypto::ring::default_provider().install_default();
            let client = reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .timeout(std::time::Duration::from_secs(30))
                .build()
                .unwrap();
            let mut request = client.request(method.parse().unwrap(), url).body(body.to_owned());
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let answer = request.send().await.unwrap();
            (answer.status().as_u16(), answer.text().await.unwrap())
        })
    }
}

/// A process that does not outlive its test, whatever comes of that.
pub(crate) struct Ended(pub(crate) Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the daemon said:\n{}", self.log());
        }
    }
}
