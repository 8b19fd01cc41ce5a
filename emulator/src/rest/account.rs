//! The bot itself, the gateway's address, users and voice regions.

use serde_json::{Value, json};

use super::error::ApiError;
use super::{Caller, Desk, Handled, Reply};
use crate::world::{Timestamp, UserId, wire};

pub(super) fn gateway(desk: &Desk<'_>) -> Handled {
    Ok(Reply::Ok(json!({"url": desk.gateway_url})))
}

pub(super) fn gateway_bot(caller: &Caller<'_>, desk: &Desk<'_>, now: Timestamp) -> Handled {
    let limit = desk.gateway.session_start_limit(caller.bot, now);
    Ok(Reply::Ok(json!({
        "url": desk.gateway_url,
        "shards": desk.gateway.limits().shards,
        "session_start_limit": {
            "total": limit.total,
            "remaining": limit.remaining,
            "reset_after": limit.reset_after.as_millis() as u64,
            "max_concurrency": limit.max_concurrency,
        },
    })))
}

pub(super) fn application(caller: &Caller<'_>, desk: &Desk<'_>) -> Handled {
    let bot = desk.world.known_user(caller.bot).ok_or(ApiError::UnknownUser)?;
    let owner = desk.world.known_user(crate::world::OWNER).ok_or(ApiError::UnknownUser)?;
    Ok(Reply::Ok(json!({
        "id": bot.id,
        "name": bot.name,
        "type": null,
        "icon": null,
        "description": "",
        "summary": "",
        "rpc_origins": [],
        "bot_public": true,
        "bot_require_code_grant": false,
        "owner": wire::user(owner),
        "team": null,
        "verify_key": "0".repeat(64),
        "flags": 0,
        "flags_new": "0",
        "tags": [],
        "redirect_uris": [],
        "interactions_endpoint_url": null,
        "role_connections_verification_url": null,
        "approximate_guild_count": desk.world.guilds_of(bot.id).count(),
        "bot": wire::user(bot),
    })))
}

pub(super) fn current_user(caller: &Caller<'_>, desk: &Desk<'_>) -> Handled {
    let bot = desk.world.known_user(caller.bot).ok_or(ApiError::UnknownUser)?;
    Ok(Reply::Ok(wire::current_user(bot)))
}

pub(super) fn current_user_guilds(caller: &Caller<'_>, desk: &Desk<'_>) -> Handled {
    let guilds: Vec<Value> = desk
        .world
        .guilds_of(caller.bot)
        .map(|guild| {
            json!({
                "id": guild.id,
                "name": guild.name,
                "icon": null,
                "banner": null,
                "owner": false,
                "permissions": guild.base_permissions(caller.bot),
                "features": [],
            })
        })
        .collect();
    Ok(Reply::Ok(Value::Array(guilds)))
}

pub(super) fn user(user: UserId, desk: &Desk<'_>) -> Handled {
    let user = desk.world.known_user(user).ok_or(ApiError::UnknownUser)?;
    Ok(Reply::Ok(wire::user(user)))
}

/// Ids of the regions that [`voice_regions`] lists.
pub(super) const REGIONS: [&str; 4] = ["rotterdam", "us-east", "us-west", "japan"];

/// GET /voice/regions, one deprecated region among them.
pub(super) fn voice_regions() -> Value {
    let names = ["Rotterdam", "US East", "US West", "Japan"];
    REGIONS
        .iter()
        .zip(names)
        .map(|(id, name)| {
            json!({"id": id, "name": name, "custom": false, "deprecated": *id == "us-west", "optimal": *id == "rotterdam"})
        })
        .collect()
}
