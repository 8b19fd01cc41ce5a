//! Invites (Discord docs, resources/channel, "Create Channel Invite").

use std::time::Duration;

use serde::Deserialize;
use twilight_http::request::AuditLogReason as _;

use super::channel_id;
use crate::{
    id::{ChannelId, GuildId},
    rest::{
        Caller, Rest, RestError,
        outgoing::Outgoing,
        permission::Permission,
        schedule::{Resource, Route, Verb},
    },
};

const CREATE: Route = Route::new(Verb::Post, "/channels/{channel}/invites");
const NEEDS: &[Permission] = &[Permission::CreateInstantInvite];

/// Where people open invites.
const OPENED_AT: &str = "https://discord.gg/";

/// An invite to make.
#[derive(Clone, Copy, Debug)]
pub struct NewInvite {
    /// For how long it can be used, in whole seconds up to 7 days; zero for ever.
    pub max_age: Duration,
    /// How often it can be used, up to 100; 0 for without end.
    pub max_uses: u16,
    /// Whether people who leave voice leave the guild, too, unless they were given a role.
    pub temporary: bool,
    /// Whether one that is there already, of the same bot and the same terms, is as good.
    pub reuse: bool,
}

/// An invite.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
pub struct Invite {
    /// What it is opened by.
    pub code: String,
}

impl Invite {
    /// What people click.
    pub fn url(&self) -> String {
        format!("{OPENED_AT}{}", self.code)
    }
}

impl Rest {
    /// Makes an invite, one that nobody else has unless `reuse` is set. Not safe to repeat without. Needs Create Instant Invite.
    pub async fn create_invite(
        &self,
        guild: GuildId,
        channel: ChannelId,
        invite: &NewInvite,
        reason: &str,
        caller: &Caller,
    ) -> Result<Invite, RestError> {
        self.ask(self.create_invite_request(guild, channel, invite, reason, caller)?).await
    }

    pub(super) fn create_invite_request(
        &self,
        guild: GuildId,
        channel: ChannelId,
        invite: &NewInvite,
        reason: &str,
        caller: &Caller,
    ) -> Result<Outgoing, RestError> {
        let age = u32::try_from(invite.max_age.as_secs()).unwrap_or(u32::MAX);
        let request = self.builder.create_invite(channel_id(channel)).max_age(age).max_uses(invite.max_uses);
        let request = request.temporary(invite.temporary).unique(!invite.reuse).reason(reason);
        Ok(Outgoing::new(CREATE, Resource::Channel(channel), request, caller)?.within(guild).needing(NEEDS))
    }
}
