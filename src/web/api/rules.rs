//! The person's own rules, and why a name is blocked or not.

#![expect(unused_qualifications, reason = "`utoipa::path` writes out the paths of parameter types")]

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;

use super::{Action, Answer, Done, Error, Explanation, Granted, OwnRule, RuleWish, SkippedLine, granted};
use crate::command::Command;
use crate::device::DeviceTable;
use crate::list;
use crate::name::DomainName;
use crate::policy::Question;
use crate::web::Web;
use crate::web::actions::{RULE_PATIENCE, grant};
use crate::web::errors::Failure;

/// Which rule is to be taken back.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct AskedRule {
    /// The rule, as it was written.
    rule: String,
}

/// Which name is to be explained.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct AskedName {
    /// The name.
    name: String,
}

/// The person's own rules.
#[utoipa::path(get, path = "/api/v1/rules", responses((status = 200, body = Vec<OwnRule>)))]
pub(super) async fn rules(State(web): State<Arc<Web>>) -> Answer<Vec<OwnRule>> {
    Ok(Json(web.parts.feed.own_rules().iter().map(Into::into).collect()))
}

/// Writes a rule; it replaces what was said of the same name before and is in force when this answers.
#[utoipa::path(post, path = "/api/v1/rules", request_body = RuleWish, responses((status = 200, body = Done), (status = 202, body = Done, description = "It takes longer and goes on."), (status = 422, body = Error), (status = 500, body = Error)))]
pub(super) async fn write(State(web): State<Arc<Web>>, Json(wish): Json<RuleWish>) -> Granted {
    let rule = read(&wish.rule)?;
    let command = match wish.action {
        Action::Allow => Command::Allow(rule),
        Action::Block => Command::Block(rule),
    };
    done(&web, command).await
}

/// Takes a rule back, whether it allows or blocks.
#[utoipa::path(delete, path = "/api/v1/rules", params(AskedRule), responses((status = 200, body = Done), (status = 202, body = Done, description = "It takes longer and goes on."), (status = 404, body = Error), (status = 422, body = Error), (status = 500, body = Error)))]
pub(super) async fn forget(State(web): State<Arc<Web>>, Query(asked): Query<AskedRule>) -> Granted {
    done(&web, Command::Forget(read(&asked.rule)?)).await
}

/// What would be said of a name, and every rule that covers it.
#[utoipa::path(get, path = "/api/v1/explain", params(AskedName), responses((status = 200, body = Explanation), (status = 422, body = Error)))]
pub(super) async fn explain(
    State(web): State<Arc<Web>>,
    Query(asked): Query<AskedName>,
) -> Answer<Explanation> {
    let name = DomainName::parse(asked.name.trim()).map_err(unreadable)?;
    let nobody = DeviceTable::default().identify(std::net::Ipv4Addr::UNSPECIFIED.into());
    let rules = web.parts.policy.current().explain(&Question::of(&nobody, name.as_ref()));
    let attribution = web.parts.catalogue.current().attribute(name.as_ref());
    let mut explanation = Explanation::new(&name, &rules, &attribution);
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

fn read(rule: &str) -> Result<list::OwnRule, Failure> {
    list::OwnRule::parse(rule).map_err(unreadable)
}

fn unreadable(error: impl std::fmt::Display) -> Failure {
    Failure::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string())
}

async fn done(web: &Web, command: Command) -> Granted {
    let slow = "This takes longer than it should; the rules show whether it was done.";
    granted(grant(web, command, RULE_PATIENCE).await?, slow)
}
