//! `pixelsink tokens`: keys for programs that use the API.

use reqwest::Method;

use super::client::Daemon;
use super::output::{local, print, print_json, print_table, table};
use super::{CliError, Output, TokensCommand};
use crate::config::Config;
use crate::web::api::{Access, Done, NewToken, TokenScope, TokenWish};

pub(super) async fn run(command: TokensCommand, config: &Config, output: Output) -> Result<(), CliError> {
    let daemon = Daemon::find(config)?;
    match command {
        TokensCommand::Status => show(&daemon.get("access", &[]).await?, output),
        TokensCommand::Add { name, scope } => {
            let wish = TokenWish { name, scope: scope.into() };
            let made: NewToken = daemon.send(Method::POST, "access/tokens", &wish).await?;
            if output == Output::Json {
                return print_json(&made);
            }
            // Alone on its line, so that a script can take it.
            print(&made.token);
            Ok(())
        }
        TokensCommand::Revoke { name } => {
            let done: Done = daemon.delete("access/tokens", &[("name", &name)]).await?;
            if output == Output::Json {
                return print_json(&done);
            }
            print(&done.message);
            Ok(())
        }
    }
}

fn show(access: &Access, output: Output) -> Result<(), CliError> {
    if output == Output::Json {
        return print_json(&access.tokens);
    }
    if access.tokens.is_empty() {
        print("There are no tokens; `pixelsink tokens add NAME` makes one.");
        return Ok(());
    }
    let mut rows = table(&["token", "scope", "made"]);
    for token in &access.tokens {
        let scope = match token.scope {
            TokenScope::Read => "read",
            TokenScope::Write => "write",
        };
        rows.add_row([&*token.name, scope, &local(Some(&token.created))]);
    }
    print_table(&mut rows);
    Ok(())
}
