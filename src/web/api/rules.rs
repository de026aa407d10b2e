//! The person's own rules, and why a name is blocked or not.

#![expect(unused_qualifications, reason = "`utoipa::path` writes out the paths of parameter types")]

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    Action, Answer, Done, Error, Explanation, Granted, KeepWish, OwnRule, RuleWish, SkippedLine, granted,
};
use crate::command::Command;
use crate::list;
use crate::name::DomainName;
use crate::policy::{self, Question};
use crate::web::Web;
use crate::web::actions::{RULE_PATIENCE, grant};
use crate::web::errors::Failure;
use crate::web::known_devices;

/// Which rule is to be taken back.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct AskedRule {
    /// The rule, as it was written.
    rule: String,
    /// The device that it is for, by name, MAC or address.
    device: Option<String>,
}

/// Which name is to be explained.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct AskedName {
    /// The name.
    name: String,
    /// The device that would ask, by name, MAC or address; nobody in particular when left out.
    device: Option<String>,
}

/// The person's own rules.
#[utoipa::path(get, path = "/api/v1/rules", responses((status = 200, body = Vec<OwnRule>)))]
pub(super) async fn rules(State(web): State<Arc<Web>>) -> Answer<Vec<OwnRule>> {
    let names = known_devices::names(&web).await?;
    let rule = |status| OwnRule::new(status, |key| names.get(&key).cloned(), |at| web.wall_time_at(at));
    Ok(Json(web.parts.feed.own_rules().iter().map(rule).collect()))
}

/// Writes a rule; it replaces what was said of the same name for the same devices before and is in force when this answers.
/// One that allows for a while is taken back by itself.
#[utoipa::path(post, path = "/api/v1/rules", request_body = RuleWish, responses((status = 200, body = Done), (status = 202, body = Done, description = "It takes longer and goes on."), (status = 422, body = Error), (status = 500, body = Error)))]
pub(super) async fn write(State(web): State<Arc<Web>>, Json(wish): Json<RuleWish>) -> Granted {
    let rule = read(&web, &wish.rule, wish.device.as_deref()).await?;
    let command = match (wish.action, wish.for_secs) {
        (Action::Allow, None) => Command::Allow(rule),
        (Action::Allow, Some(seconds)) => Command::AllowFor { rule, duration: Duration::from_secs(seconds) },
        (Action::Block, None) => Command::Block(rule),
        (Action::Block, Some(_)) => {
            return Err(unreadable("only what allows can end by itself; leave out `for_secs`"));
        }
    };
    done(&web, command).await
}

/// Takes the end from a rule that allows for a while, so that it stays.
#[utoipa::path(post, path = "/api/v1/rules/keep", request_body = KeepWish, responses((status = 200, body = Done), (status = 202, body = Done, description = "It takes longer and goes on."), (status = 404, body = Error), (status = 422, body = Error), (status = 500, body = Error)))]
pub(super) async fn keep(State(web): State<Arc<Web>>, Json(wish): Json<KeepWish>) -> Granted {
    let rule = read(&web, &wish.rule, wish.device.as_deref()).await?;
    done(&web, Command::Keep(rule)).await
}

/// Takes a rule back, whether it allows or blocks; one that has an end before one that has none.
#[utoipa::path(delete, path = "/api/v1/rules", params(AskedRule), responses((status = 200, body = Done), (status = 202, body = Done, description = "It takes longer and goes on."), (status = 404, body = Error), (status = 422, body = Error), (status = 500, body = Error)))]
pub(super) async fn forget(State(web): State<Arc<Web>>, Query(asked): Query<AskedRule>) -> Granted {
    let rule = read(&web, &asked.rule, asked.device.as_deref()).await?;
    done(&web, Command::Forget(rule)).await
}

/// What would be said of a name, and every rule that covers it.
#[utoipa::path(get, path = "/api/v1/explain", params(AskedName), responses((status = 200, body = Explanation), (status = 422, body = Error)))]
pub(super) async fn explain(
    State(web): State<Arc<Web>>,
    Query(asked): Query<AskedName>,
) -> Answer<Explanation> {
    let name = DomainName::parse(asked.name.trim()).map_err(unreadable)?;
    let question = Question::by_anyone(name.as_ref());
    let device = match &asked.device {
        None => None,
        Some(device) => Some(known_devices::find(&web, device).await?),
    };
    let question = device.as_ref().map_or(question, |device| Question::of(device, name.as_ref()));
    let rules = web.parts.policy.current().explain(&question);
    let attribution = web.parts.catalogue.current().attribute(name.as_ref());
    let mut explanation = Explanation::new(&name, &rules, &attribution);
    explanation.local = web.parts.local.current().describe(name.as_ref());
    let decides = rules.first().filter(|first| !first.own);
    explanation.list_about = decides.and_then(|first| web.parts.feed.describe(&first.rule.list));
    for (explained, rule) in rules.iter().zip(&mut explanation.rules) {
        for place in &mut rule.places {
            let lines = web.places(explained, &place.list).await;
            place.lines =
                lines.into_iter().map(|found| SkippedLine { line: found.line, text: found.text }).collect();
        }
    }
    Ok(Json(explanation))
}

/// A rule, for the device that is named beside it.
async fn read(web: &Web, rule: &str, device: Option<&str>) -> Result<list::OwnRule, Failure> {
    let rule = list::OwnRule::parse(rule).map_err(unreadable)?;
    let Some(device) = device else { return Ok(rule) };
    let device = known_devices::find(web, device).await?;
    Ok(rule.for_client(policy::client_of(device.key)))
}

fn unreadable(error: impl std::fmt::Display) -> Failure {
    Failure::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string())
}

async fn done(web: &Web, command: Command) -> Granted {
    let slow = "This takes longer than it should; the rules show whether it was done.";
    granted(grant(web, command, RULE_PATIENCE).await?, slow)
}
