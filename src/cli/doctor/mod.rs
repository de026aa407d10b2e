//! `pixelsink doctor`: looks at everything between a device and its answer, and says what to do about what is wrong.
//!
//! What the daemon knows of itself it is asked for; the rest is looked at from here, so that most of it also works while no
//! daemon runs.

mod machine;
mod question;

use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;

use serde::Serialize;

use super::client::Daemon;
use super::output::{number, print, print_json};
use super::{CliError, Options, Output, load_config};
use crate::config::Config;
use crate::web::api::{DeviceCount, Status};

/// How something is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Grade {
    /// As it should be.
    Well,
    /// Perhaps not as it was meant.
    Look,
    /// Something does not work because of it.
    Bad,
}

/// What was looked at, and what was found.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
struct Finding {
    grade: Grade,
    what: &'static str,
    said: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    to_do: Option<String>,
}

impl Finding {
    fn well(what: &'static str, said: impl Into<String>) -> Self {
        Self { grade: Grade::Well, what, said: said.into(), to_do: None }
    }

    fn look(what: &'static str, said: impl Into<String>, to_do: impl Into<String>) -> Self {
        Self { grade: Grade::Look, what, said: said.into(), to_do: Some(to_do.into()) }
    }

    fn bad(what: &'static str, said: impl Into<String>, to_do: impl Into<String>) -> Self {
        Self { grade: Grade::Bad, what, said: said.into(), to_do: Some(to_do.into()) }
    }
}

/// Looks at all of it; fails when something is bad.
pub(super) async fn run(options: &Options, output: Output) -> Result<ExitCode, CliError> {
    let (config, mut findings) = configuration(options);
    findings.push(machine::clock());
    findings.push(machine::room(&config.data_dir));
    let told = match Daemon::find(&config) {
        Ok(daemon) => ask(&daemon).await,
        Err(error) => Err(error),
    };
    match told {
        Ok((status, devices)) => {
            findings.push(Finding::well("daemon", format!("version {} answers", status.version)));
            let reached = addresses(&status.dns_listen);
            findings.extend(question::all(&reached));
            findings.push(machine::resolv_conf(&reached));
            findings.extend(upstreams(&status));
            findings.push(lists(&status));
            findings.push(senders(&devices));
            let problem = |problem: &String| {
                Finding::look("daemon", problem.clone(), "See the page under /health for where to mend it.")
            };
            findings.extend(status.problems.iter().chain(&status.history.problem).map(problem));
        }
        Err(error) => {
            let to_do = match &error {
                CliError::NotRunning { .. } => {
                    "Start it with `systemctl start pixelsink` or `pixelsink run`; its log says why it stopped \
                     (`journalctl -u pixelsink -n 50`)."
                }
                _ => "Run this as root (`sudo pixelsink doctor`).",
            };
            findings.push(Finding::bad("daemon", error.to_string(), to_do));
            findings.extend(config.server.listen.iter().filter_map(|listen| machine::port(*listen)));
            findings.push(machine::resolv_conf(&config.server.listen));
        }
    }
    show(&findings, output)?;
    let is_bad = findings.iter().any(|finding| finding.grade == Grade::Bad);
    Ok(if is_bad { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn configuration(options: &Options) -> (Config, Vec<Finding>) {
    const WHAT: &str = "configuration";
    match load_config(options) {
        Ok(config) => {
            let said = config.file.as_ref().map(|file| format!("{} is right", file.display()));
            let said = said.unwrap_or_else(|| "there is no file; everything is as it comes".to_owned());
            let warn = |warning| Finding::look(WHAT, warning, "Change it in the file and reload.");
            let mut findings = vec![Finding::well(WHAT, said)];
            findings.extend(config.warnings().into_iter().map(warn));
            (config, findings)
        }
        Err(error) => {
            let said = format!("{} has mistakes, so it is not used", error.file.display());
            let finding = Finding::bad(WHAT, said, "`pixelsink check` shows each with its line.");
            (Config::load_leniently(&error.file).unwrap_or_default(), vec![finding])
        }
    }
}

async fn ask(daemon: &Daemon) -> Result<(Status, Vec<DeviceCount>), CliError> {
    Ok((daemon.get("status", &[]).await?, daemon.get("devices", &[("hours", "24")]).await?))
}

fn addresses(listen: &[String]) -> Vec<SocketAddr> {
    listen.iter().filter_map(|address| address.parse().ok()).collect()
}

fn upstreams(status: &Status) -> Vec<Finding> {
    const WHAT: &str = "upstreams";
    let failing: Vec<Finding> = status
        .upstream_health
        .iter()
        .filter_map(|upstream| {
            let said = format!("{} is asked last: {}", upstream.address, upstream.problem.as_ref()?);
            let to_do = "Check the network between here and there, or name another under `[upstream]`.";
            Some(Finding::look(WHAT, said, to_do))
        })
        .collect();
    match (failing.len(), status.upstream_health.len()) {
        (0, count) => vec![Finding::well(WHAT, format!("none of {count} is failing"))],
        _ => failing,
    }
}

fn lists(status: &Status) -> Finding {
    match status.list_rules {
        0 => Finding::bad(
            "lists",
            "no rule of any list is in force, so nothing is blocked",
            "A first download may still be running; `pixelsink lists` tells how each list is, `pixelsink lists add balanced` \
             adds some.",
        ),
        rules => Finding::well("lists", format!("{} rules are in force", number(rules))),
    }
}

/// Whether the router really sends questions here.
fn senders(devices: &[DeviceCount]) -> Finding {
    const WHAT: &str = "devices";
    let is_this_machine = |device: &&DeviceCount| {
        device.device.key.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
            || device.name_from == "this-machine"
    };
    let asked = devices.iter().filter(|device| 0 < device.queries && !is_this_machine(device)).count();
    match asked {
        0 => Finding::bad(
            WHAT,
            "no device but this machine asked anything in the last 24 hours",
            "Have your router hand out this machine's address as the only DNS server (the page under /help says where), then \
             turn the Wi-Fi of a device off and on.",
        ),
        1 => Finding::look(
            WHAT,
            "one device alone asked in the last 24 hours",
            "If that is your router, it asks for everybody: have it hand out this machine's address instead (/help#router).",
        ),
        count => Finding::well(WHAT, format!("{count} asked in the last 24 hours")),
    }
}

fn show(findings: &[Finding], output: Output) -> Result<(), CliError> {
    if output == Output::Json {
        return print_json(&findings);
    }
    for Finding { grade, what, said, to_do } in findings {
        let word = match grade {
            Grade::Well => "ok  ",
            Grade::Look => "look",
            Grade::Bad => "BAD ",
        };
        print(&format!("{word}  {what}: {said}"));
        if let Some(to_do) = to_do {
            print(&format!("      {to_do}"));
        }
    }
    Ok(())
}
