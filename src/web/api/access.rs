//! Who may use the page and the API: the password, sessions and tokens.

#![expect(unused_qualifications, reason = "`utoipa::path` writes out the paths of parameter types")]

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, Query, State};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Answer, Done, Error, timestamp};
use crate::access::{self, Denied, Lock};
use crate::web::Web;
use crate::web::gate::Caller;
use crate::web::serve::Peer;

/// Who may use the page and the API.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct Access {
    /// Whether a password is set.
    pub is_set: bool,
    /// The code that sets the first password on the page; told over the control socket only, while none is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What is wrong, and what to do about it.
    pub problem: Option<String>,
    /// How many browsers are logged in.
    pub sessions: usize,
    /// The tokens of programs.
    pub tokens: Vec<ApiToken>,
}

/// A token, without its secret.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct ApiToken {
    /// What it is called.
    pub name: String,
    /// What it may do.
    pub scope: TokenScope,
    /// When it was made (RFC 3339).
    pub created: String,
}

/// What a token may do.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TokenScope {
    /// Look at everything.
    Read,
    /// Change things, too.
    Write,
}

/// A password to be set.
#[derive(Clone, Deserialize, Serialize, ToSchema)]
pub struct PasswordWish {
    /// The new one.
    pub password: String,
    /// The present one; not needed over the control socket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
    /// The code from the log, where no password was ever set; not needed over the control socket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

/// A token to be made.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct TokenWish {
    /// What it is to be called.
    pub name: String,
    /// What it may do.
    pub scope: TokenScope,
}

/// A token that was made.
#[derive(Clone, Deserialize, Serialize, ToSchema)]
pub struct NewToken {
    /// What it is called.
    pub name: String,
    /// Its secret, for `Authorization: Bearer`. It is shown this once.
    pub token: String,
}

/// Which token is to be revoked.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct AskedToken {
    /// Its name.
    name: String,
}

impl From<access::Scope> for TokenScope {
    fn from(scope: access::Scope) -> Self {
        match scope {
            access::Scope::Read => Self::Read,
            access::Scope::Write => Self::Write,
        }
    }
}

impl From<TokenScope> for access::Scope {
    fn from(scope: TokenScope) -> Self {
        match scope {
            TokenScope::Read => Self::Read,
            TokenScope::Write => Self::Write,
        }
    }
}

/// Whether a password is set, who is logged in, and which tokens there are.
#[utoipa::path(get, path = "/api/v1/access", responses((status = 200, body = Access), (status = 403, body = Error)))]
pub(super) async fn access(
    State(web): State<Arc<Web>>,
    Extension(caller): Extension<Caller>,
) -> Answer<Access> {
    caller.may_manage()?;
    let access = &web.parts.access;
    let token = |token: access::Token| ApiToken {
        name: token.name,
        scope: token.scope.into(),
        created: timestamp(token.created),
    };
    Ok(Json(Access {
        is_set: access.lock() == Lock::Set,
        code: access.code().filter(|_| caller == Caller::Socket),
        problem: access.problem(),
        sessions: access.sessions(),
        tokens: access.tokens().into_iter().map(token).collect(),
    }))
}

/// Sets the password, and logs everybody out.
#[utoipa::path(post, path = "/api/v1/access/password", request_body = PasswordWish, responses((status = 200, body = Done), (status = 401, body = Error), (status = 403, body = Error), (status = 409, body = Error), (status = 422, body = Error), (status = 429, body = Error), (status = 500, body = Error), (status = 503, body = Error)))]
pub(super) async fn set_password(
    State(web): State<Arc<Web>>,
    Extension(caller): Extension<Caller>,
    from: Option<Extension<Peer>>,
    Json(wish): Json<PasswordWish>,
) -> Answer<Done> {
    caller.may_manage()?;
    let from = from.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |Extension(Peer(address))| address);
    let access = &web.parts.access;
    match (caller, access.lock()) {
        (Caller::Socket, _) => access.set_password(wish.password).await?,
        (_, Lock::Set) => {
            let current = wish.current.ok_or(Denied::AlreadySet)?;
            access.change_password(from, current, wish.password).await?;
        }
        _ => {
            let code = wish.code.unwrap_or_default();
            access.set_up(from, &code, wish.password).await?;
        }
    }
    done("The password is set; everybody has to log in with it.".to_owned())
}

/// Logs everybody out; tokens stay.
#[utoipa::path(post, path = "/api/v1/access/end-sessions", responses((status = 200, body = Done), (status = 403, body = Error)))]
pub(super) async fn end_sessions(
    State(web): State<Arc<Web>>,
    Extension(caller): Extension<Caller>,
) -> Answer<Done> {
    caller.may_manage()?;
    done(match web.parts.access.end_sessions().await {
        0 => "Nobody was logged in.".to_owned(),
        1 => "One browser was logged out.".to_owned(),
        ended => format!("{ended} browsers were logged out."),
    })
}

/// Makes a token, for programs.
#[utoipa::path(post, path = "/api/v1/access/tokens", request_body = TokenWish, responses((status = 200, body = NewToken), (status = 403, body = Error), (status = 409, body = Error), (status = 422, body = Error), (status = 500, body = Error), (status = 503, body = Error)))]
pub(super) async fn add_token(
    State(web): State<Arc<Web>>,
    Extension(caller): Extension<Caller>,
    Json(wish): Json<TokenWish>,
) -> Answer<NewToken> {
    caller.may_manage()?;
    let secret = web.parts.access.add_token(&wish.name, wish.scope.into()).await?;
    Ok(Json(NewToken { name: wish.name.trim().to_owned(), token: secret.reveal().to_owned() }))
}

/// Takes a token back, for good.
#[utoipa::path(delete, path = "/api/v1/access/tokens", params(AskedToken), responses((status = 200, body = Done), (status = 403, body = Error), (status = 404, body = Error), (status = 500, body = Error), (status = 503, body = Error)))]
pub(super) async fn revoke_token(
    State(web): State<Arc<Web>>,
    Extension(caller): Extension<Caller>,
    Query(asked): Query<AskedToken>,
) -> Answer<Done> {
    caller.may_manage()?;
    web.parts.access.revoke_token(&asked.name).await?;
    done(format!("`{}` is good for nothing from now on.", asked.name))
}

fn done(message: String) -> Answer<Done> {
    Ok(Json(Done { message }))
}
