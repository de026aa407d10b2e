//! `pixelsink passwd`: sets the password of the page, shows the code of the first start, logs everybody out.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use reqwest::Method;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use super::client::Daemon;
use super::output::{print, print_json};
use super::{CliError, Output, PasswdArguments};
use crate::config::Config;
use crate::web::api::{Access, Done, PasswordWish};

pub(super) async fn run(
    PasswdArguments { code, end_sessions }: PasswdArguments,
    config: &Config,
    output: Output,
) -> Result<(), CliError> {
    let daemon = Daemon::find(config)?;
    if code {
        return show_code(&daemon.get("access", &[]).await?, output);
    }
    let done: Done = if end_sessions {
        daemon.send(Method::POST, "access/end-sessions", &()).await?
    } else {
        let wish = PasswordWish { password: read_password()?, current: None, code: None };
        daemon.send(Method::POST, "access/password", &wish).await?
    };
    match output {
        Output::Json => print_json(&done),
        Output::Table => {
            print(&done.message);
            Ok(())
        }
    }
}

fn show_code(access: &Access, output: Output) -> Result<(), CliError> {
    match (output, &access.code) {
        (Output::Json, _) => print_json(access)?,
        (Output::Table, Some(code)) => print(code),
        (Output::Table, None) => {
            let told = access.problem.clone().filter(|_| !access.is_set);
            let told = told.unwrap_or_else(|| {
                "a password is set already, so there is no code; `pixelsink passwd` sets another one"
                    .to_owned()
            });
            return Err(CliError::Usage(told));
        }
    }
    Ok(())
}

/// Asks twice on a terminal, without showing what is typed; elsewhere one line is read.
fn read_password() -> Result<String, CliError> {
    if !io::stdin().is_terminal() {
        return read_line();
    }
    let password = ask("New password for the page: ")?;
    if password != ask("The same once more: ")? {
        return Err(CliError::Usage("the two passwords are not the same; nothing was changed".to_owned()));
    }
    Ok(password)
}

fn ask(question: &str) -> Result<String, CliError> {
    let mut terminal = io::stderr().lock();
    let _ = write!(terminal, "{question}");
    let _ = terminal.flush();
    let hidden = Hidden::begin();
    let line = read_line();
    drop(hidden);
    let _ = writeln!(terminal);
    line
}

fn read_line() -> Result<String, CliError> {
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line);
    read.map_err(|error| CliError::Usage(format!("the password could not be read: {error}")))?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// A terminal that does not show what is typed, until dropped (termios(3)).
struct Hidden(Option<Termios>);

impl Hidden {
    fn begin() -> Self {
        let before = tcgetattr(io::stdin()).ok();
        if let Some(before) = &before {
            let mut hidden = before.clone();
            hidden.local_modes.remove(LocalModes::ECHO);
            let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &hidden);
        }
        Self(before)
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = tcsetattr(io::stdin(), OptionalActions::Flush, before);
        }
    }
}
