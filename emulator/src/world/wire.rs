//! The world as Discord writes it in JSON: one function per object of the API reference.

use serde_json::{Value, json};

use super::audit::{AuditAction, AuditChange, AuditEntry};
use super::channel::{Channel, ChannelKind};
use super::guild::{Availability, Guild, Member, Role, User};
use super::id::{GuildId, UserId};
use super::invite::Invite;
use super::message::{Author, Message};
use super::permissions::{Overwrite, OverwriteTarget};
use super::voice::VoiceState;
use super::webhook::Webhook;
use super::{World, time::Timestamp};

/// A user object.
pub(crate) fn user(user: &User) -> Value {
    json!({
        "id": user.id,
        "username": user.name,
        "global_name": user.display_name,
        // Bots still have a discriminator; people lost theirs in 2023.
        "discriminator": if user.bot { format!("{:04}", user.id.get() % 9_999 + 1) } else { "0".to_owned() },
        "avatar": null,
        "banner": null,
        "accent_color": null,
        "bot": user.bot,
        "system": false,
        "flags": 0,
        "public_flags": 0,
        "avatar_decoration_data": null,
        "primary_guild": null,
    })
}

/// The user object that a bot gets of itself.
pub(crate) fn current_user(of: &User) -> Value {
    let mut body = user(of);
    body["mfa_enabled"] = json!(true);
    body["verified"] = json!(true);
    body["email"] = Value::Null;
    body["locale"] = json!("en-US");
    body["bio"] = json!("");
    body
}

/// A guild member object.
pub(crate) fn member(member: &Member, of: &User) -> Value {
    json!({
        "user": user(of),
        "nick": member.nick,
        "avatar": null,
        "banner": null,
        "roles": member.roles,
        "joined_at": member.joined_at.to_string(),
        "premium_since": null,
        "deaf": member.deaf,
        "mute": member.mute,
        "flags": 0,
        "pending": false,
        "communication_disabled_until": null,
        "avatar_decoration_data": null,
    })
}

/// A voice state without `guild_id` and `member`: as GUILD_CREATE lists it.
pub(crate) fn voice_state(user: UserId, state: &VoiceState, member: &Member) -> Value {
    let mut body = json!({
        "channel_id": state.channel_id,
        "user_id": user,
        "session_id": state.session_id,
        "deaf": member.deaf,
        "mute": member.mute,
        "self_deaf": state.switches.self_deaf,
        "self_mute": state.switches.self_mute,
        "self_video": state.switches.self_video,
        "suppress": state.suppress,
        "request_to_speak_timestamp": state.asked_to_speak,
    });
    // Discord omits the key while nothing is shared.
    if state.switches.self_stream {
        body["self_stream"] = json!(true);
    }
    body
}

/// A role object.
pub(crate) fn role(role: &Role) -> Value {
    let mut body = json!({
        "id": role.id,
        "name": role.name,
        "description": null,
        "permissions": role.permissions,
        "position": role.position,
        "color": 0,
        "colors": {"primary_color": 0, "secondary_color": null, "tertiary_color": null},
        "hoist": false,
        "icon": null,
        "unicode_emoji": null,
        "managed": role.bot_id.is_some(),
        "mentionable": false,
        "flags": 0,
    });
    if let Some(bot) = role.bot_id {
        body["tags"] = json!({"bot_id": bot});
    }
    body
}

/// A permission overwrite.
pub(crate) fn overwrite(overwrite: &Overwrite) -> Value {
    let (id, kind) = overwrite_id(overwrite.target);
    json!({"id": id.to_string(), "type": kind, "allow": overwrite.allow, "deny": overwrite.deny})
}

/// An overwrite's id and wire type.
const fn overwrite_id(target: OverwriteTarget) -> (u64, u8) {
    match target {
        OverwriteTarget::Role(role) => (role.get(), 0),
        OverwriteTarget::Member(user) => (user.get(), 1),
    }
}

/// A channel object with `guild_id`.
pub(crate) fn channel(channel: &Channel) -> Value {
    let mut body = json!({
        "id": channel.id,
        "guild_id": channel.guild_id,
        "type": channel.kind.wire_type(),
        "name": channel.name,
        "position": channel.position,
        "parent_id": channel.parent_id,
        "permission_overwrites": channel.overwrites.iter().map(overwrite).collect::<Vec<_>>(),
        "flags": 0,
    });
    if !matches!(channel.kind, ChannelKind::Category) {
        body["nsfw"] = json!(channel.nsfw);
        body["rate_limit_per_user"] = json!(channel.rate_limit_per_user);
        body["last_message_id"] = json!(channel.last_message_id);
    }
    match &channel.kind {
        ChannelKind::Text { topic } => body["topic"] = json!(topic),
        ChannelKind::Voice(voice) | ChannelKind::Stage(voice) => {
            body["bitrate"] = json!(voice.bitrate);
            body["user_limit"] = json!(voice.user_limit);
            body["rtc_region"] = json!(voice.rtc_region);
            if voice.video_quality_mode != 1 {
                body["video_quality_mode"] = json!(voice.video_quality_mode);
            }
        }
        ChannelKind::Category => {}
    }
    body
}

/// A message object as a channel's history lists it: without `guild_id` and `member`.
pub(crate) fn message(world: &World, message: &Message) -> Option<Value> {
    let mut body = json!({
        "id": message.id,
        "channel_id": message.channel_id,
        "content": message.content,
        "timestamp": message.id.created_at().to_string(),
        "edited_timestamp": null,
        "tts": message.tts,
        "mention_everyone": false,
        "mentions": [],
        "mention_roles": [],
        "attachments": [],
        "embeds": message.embeds,
        "components": [],
        "pinned": false,
        "type": 0,
        "flags": 0,
    });
    match &message.author {
        Author::User(id) => body["author"] = user(world.known_user(*id)?),
        Author::Webhook { id, name, application } => {
            body["author"] = json!({
                "id": id,
                "username": name,
                "global_name": null,
                "discriminator": "0000",
                "avatar": null,
                "bot": true,
                "flags": 0,
                "public_flags": 0,
                "primary_guild": null,
            });
            body["webhook_id"] = json!(id);
            if let Some(application) = application {
                body["application_id"] = json!(application);
            }
        }
    }
    if let Some(nonce) = &message.nonce {
        body["nonce"] = json!(nonce);
    }
    Some(body)
}

/// An invite object with its metadata.
pub(crate) fn invite(world: &World, invite: &Invite) -> Value {
    let mut body = json!({
        "type": 0,
        "code": invite.code,
        "guild_id": invite.guild_id,
        "expires_at": invite.expires_at().map(|end| end.to_string()),
        "flags": 0,
        "inviter": world.known_user(invite.inviter).map(user),
    });
    if let Some(guild) = world.guild(invite.guild_id) {
        body["guild"] = json!({
            "id": guild.id,
            "name": guild.name,
            "icon": null,
            "splash": null,
            "banner": null,
            "description": null,
            "features": [],
            "verification_level": 0,
            "vanity_url_code": null,
            "nsfw_level": 0,
            "nsfw": false,
            "premium_subscription_count": 0,
            "premium_tier": guild.premium_tier,
        });
    }
    if let Some(channel) = world.channel(invite.channel_id) {
        body["channel"] = json!({"id": channel.id, "name": channel.name, "type": channel.kind.wire_type()});
    }
    if let (Some(body), Value::Object(metadata)) = (body.as_object_mut(), invite_metadata(invite)) {
        body.extend(metadata);
    }
    body
}

/// An invite metadata object.
pub(crate) fn invite_metadata(invite: &Invite) -> Value {
    json!({
        "uses": invite.uses,
        "max_uses": invite.terms.max_uses,
        "max_age": invite.terms.max_age.as_secs(),
        "temporary": invite.terms.temporary,
        "created_at": invite.created_at.to_string(),
    })
}

/// INVITE_CREATE's `d`.
pub(crate) fn invite_create(world: &World, invite: &Invite) -> Value {
    let mut body = invite_metadata(invite);
    body["code"] = json!(invite.code);
    body["guild_id"] = json!(invite.guild_id);
    body["channel_id"] = json!(invite.channel_id);
    body["inviter"] = json!(world.known_user(invite.inviter).map(user));
    body["expires_at"] = json!(invite.expires_at().map(|end| end.to_string()));
    body
}

/// A webhook object as its managers see it.
pub(crate) fn webhook(world: &World, webhook: &Webhook) -> Value {
    let mut body = webhook_for_anybody(webhook);
    body["user"] = json!(world.known_user(webhook.creator).map(user));
    body
}

/// A webhook object as whoever holds the token sees it: without its creator.
pub(crate) fn webhook_for_anybody(webhook: &Webhook) -> Value {
    json!({
        "id": webhook.id,
        "type": 1,
        "guild_id": webhook.guild_id,
        "channel_id": webhook.channel_id,
        "name": webhook.name,
        "avatar": null,
        "token": webhook.token.reveal(),
        "application_id": webhook.application,
    })
}

/// An audit log entry.
pub(crate) fn audit_entry(entry: &AuditEntry) -> Value {
    let mut body = json!({
        "id": entry.id,
        "user_id": entry.actor,
        "target_id": entry.target.map(|id| id.to_string()),
        "action_type": entry.action.wire_type(),
    });
    if !entry.changes.is_empty() {
        body["changes"] = entry.changes.iter().map(audit_change).collect();
    }
    match &entry.action {
        AuditAction::OverwriteCreate(target)
        | AuditAction::OverwriteUpdate(target)
        | AuditAction::OverwriteDelete(target) => {
            let (id, kind) = overwrite_id(*target);
            body["options"] = json!({"id": id.to_string(), "type": kind.to_string()});
        }
        // discord.js reads `options` of these two without looking whether it is there.
        AuditAction::MemberMove(channel) => body["options"] = json!({"channel_id": channel, "count": "1"}),
        AuditAction::MemberDisconnect => body["options"] = json!({"count": "1"}),
        AuditAction::VoiceStatusUpdate(status) => {
            body["options"] = json!({"channel_id": body["target_id"], "status": status});
        }
        AuditAction::VoiceStatusDelete => body["options"] = json!({"channel_id": body["target_id"]}),
        AuditAction::ChannelCreate
        | AuditAction::ChannelUpdate
        | AuditAction::ChannelDelete
        | AuditAction::MemberUpdate
        | AuditAction::InviteCreate
        | AuditAction::InviteDelete
        | AuditAction::WebhookCreate
        | AuditAction::WebhookUpdate
        | AuditAction::WebhookDelete => {}
    }
    if let Some(reason) = &entry.reason {
        body["reason"] = json!(reason);
    }
    body
}

/// A change in an audit log entry; what was or is null has no key.
fn audit_change(change: &AuditChange) -> Value {
    let mut body = json!({"key": change.key});
    if let Some(old) = &change.old {
        body["old_value"] = old.clone();
    }
    if let Some(new) = &change.new {
        body["new_value"] = new.clone();
    }
    body
}

/// A guild object as REST returns it.
pub(crate) fn guild(guild: &Guild) -> Value {
    json!({
        "id": guild.id,
        "name": guild.name,
        "icon": null,
        "icon_hash": null,
        "splash": null,
        "discovery_splash": null,
        "home_header": null,
        "banner": null,
        "description": null,
        "owner_id": guild.owner_id,
        // Voice regions belong to channels; what is left of the guild's is this word.
        "region": "deprecated",
        "afk_channel_id": null,
        "afk_timeout": 300,
        "application_id": null,
        "widget_enabled": false,
        "widget_channel_id": null,
        "verification_level": 0,
        "default_message_notifications": 0,
        "explicit_content_filter": 0,
        "mfa_level": 0,
        "nsfw_level": 0,
        "nsfw": false,
        "roles": guild.roles.values().map(role).collect::<Vec<_>>(),
        "emojis": [],
        "stickers": [],
        "features": [],
        "system_channel_id": null,
        "system_channel_flags": 0,
        "rules_channel_id": guild.rules_channel_id,
        "public_updates_channel_id": null,
        "safety_alerts_channel_id": null,
        "max_presences": null,
        "max_members": 500_000,
        "max_video_channel_users": 25,
        "max_stage_video_channel_users": 50,
        "vanity_url_code": null,
        "premium_tier": guild.premium_tier,
        "premium_subscription_count": 0,
        "premium_progress_bar_enabled": false,
        "preferred_locale": "en-US",
        "incidents_data": null,
    })
}

/// GUILD_CREATE's `d` for one bot: members are that bot and who is in voice, as without the presences intent.
pub(crate) fn guild_create(world: &World, of: &Guild, bot: UserId) -> Value {
    let mut body = guild(of);
    let present: std::collections::BTreeSet<UserId> = of.voice_states.keys().copied().chain([bot]).collect();
    let members: Vec<Value> =
        present.iter().filter_map(|id| Some(member(of.members.get(id)?, world.known_user(*id)?))).collect();
    let voice_states: Vec<Value> = of
        .voice_states
        .iter()
        .filter_map(|(user, state)| Some(voice_state(*user, state, of.members.get(user)?)))
        .collect();
    let joined_at = of.members.get(&bot).map_or_else(Timestamp::default, |member| member.joined_at);
    let channels: Vec<Value> = of
        .channels
        .values()
        .map(|each| {
            let mut body = channel(each);
            // Inside GUILD_CREATE the guild is obvious.
            body.as_object_mut().map(|fields| fields.remove("guild_id"));
            body
        })
        .collect();
    let extras = json!({
        "joined_at": joined_at.to_string(),
        "large": of.members.len() > 50,
        "unavailable": of.availability == Availability::Unavailable,
        "member_count": of.members.len(),
        "members": members,
        "channels": channels,
        "voice_states": voice_states,
        "threads": [],
        "presences": [],
        "stage_instances": [],
        "guild_scheduled_events": [],
        "soundboard_sounds": [],
    });
    if let (Some(body), Value::Object(extras)) = (body.as_object_mut(), extras) {
        body.extend(extras);
    }
    body
}

/// An unavailable guild, as READY and GUILD_DELETE list it.
pub(crate) fn unavailable_guild(id: GuildId) -> Value {
    json!({"id": id, "unavailable": true})
}
