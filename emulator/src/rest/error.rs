//! What REST refuses, and how Discord words it: the one place where refusals become status, code and message.

use serde_json::{Map, Value, json};

use crate::world::{ChannelError, InviteError, VoiceError, WebhookError};

/// A refusal of the REST API (Discord docs, Opcodes and Status Codes § JSON Error Codes).
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ApiError {
    /// No or an unknown token.
    Unauthorized,
    /// No such route.
    NotFound,
    /// The route has other methods.
    MethodNotAllowed,
    /// `/api/v5` and such.
    InvalidApiVersion,
    /// No proper User-Agent.
    BadUserAgent,
    /// The body is no JSON.
    InvalidJson,
    /// Fields are missing or out of range.
    InvalidForm(FormErrors),
    /// No such channel.
    UnknownChannel,
    /// No such guild, or the bot is not in it.
    UnknownGuild,
    /// No such member of the guild.
    UnknownMember,
    /// No such overwrite.
    UnknownOverwrite,
    /// No such invite, or it has ended.
    UnknownInvite,
    /// No such user.
    UnknownUser,
    /// No such webhook, or none any more.
    UnknownWebhook,
    /// The user is not in voice.
    UnknownVoiceState,
    /// The guild has 500 channels.
    TooManyChannels,
    /// The guild has 1,000 invites.
    TooManyInvites,
    /// The channel has 1,000 overwrites.
    TooManyOverwrites,
    /// The channel has 15 webhooks.
    TooManyWebhooks,
    /// The guild has 1,000 webhooks.
    TooManyGuildWebhooks,
    /// Two parents changed in one positions call.
    OneParentAtATime,
    /// The member must be in voice for this.
    NotInVoice,
    /// The bot does not see the channel.
    MissingAccess,
    /// The bot sees it but may not do this.
    MissingPermissions,
    /// Neither content nor embeds.
    EmptyMessage,
    /// Not a channel to write in.
    NotATextChannel,
    /// Not this webhook's token.
    WrongWebhookToken,
    /// Not for this sort of channel.
    WrongChannelType,
    /// A community guild keeps its rules channel.
    RulesChannelStays,
    /// The guild is in an outage.
    GuildUnavailable,
}

/// Field errors, nested as Discord nests them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct FormErrors(Map<String, Value>);

impl FormErrors {
    /// Adds an error at `path`, e.g. `["permission_overwrites", "0", "id"]`; an empty path is the body itself.
    pub(crate) fn add(&mut self, path: &[&str], code: &str, message: &str) {
        let mut place = &mut self.0;
        for step in path {
            let next = place.entry(*step).or_insert_with(|| json!({}));
            let Value::Object(inner) = next else { return };
            place = inner;
        }
        let list = place.entry("_errors").or_insert_with(|| json!([]));
        if let Value::Array(list) = list {
            list.push(json!({"code": code, "message": message}));
        }
    }

    /// Nothing wrong, or all that is wrong at once.
    pub(crate) fn finish(self) -> Result<(), ApiError> {
        if self.0.is_empty() { Ok(()) } else { Err(ApiError::InvalidForm(self)) }
    }

    /// One error alone.
    pub(crate) fn one(path: &[&str], code: &str, message: &str) -> ApiError {
        let mut errors = Self::default();
        errors.add(path, code, message);
        ApiError::InvalidForm(errors)
    }
}

impl ApiError {
    /// Status, JSON error code and message.
    fn wording(&self) -> (u16, u32, &'static str) {
        match self {
            Self::Unauthorized => (401, 0, "401: Unauthorized"),
            Self::NotFound => (404, 0, "404: Not Found"),
            Self::MethodNotAllowed => (405, 0, "405: Method Not Allowed"),
            Self::InvalidApiVersion => (400, 50_041, "Invalid API version"),
            Self::BadUserAgent => (403, 40_333, "internal network error"),
            Self::InvalidJson => (400, 50_109, "The request body contains invalid JSON."),
            Self::InvalidForm(_) => (400, 50_035, "Invalid Form Body"),
            Self::UnknownChannel => (404, 10_003, "Unknown Channel"),
            Self::UnknownGuild => (404, 10_004, "Unknown Guild"),
            Self::UnknownMember => (404, 10_007, "Unknown Member"),
            Self::UnknownOverwrite => (404, 10_009, "Unknown Permission Overwrite"),
            Self::UnknownInvite => (404, 10_006, "Unknown Invite"),
            Self::UnknownUser => (404, 10_013, "Unknown User"),
            Self::UnknownWebhook => (404, 10_015, "Unknown Webhook"),
            Self::UnknownVoiceState => (404, 10_065, "Unknown Voice State"),
            Self::TooManyChannels => (400, 30_013, "Maximum number of guild channels reached (500)"),
            Self::TooManyWebhooks => (400, 30_007, "Maximum number of webhooks reached (15)"),
            Self::TooManyInvites => (400, 30_016, "Maximum number of invites reached (1000)"),
            Self::TooManyGuildWebhooks => (400, 30_058, "Maximum number of webhooks per guild reached (1000)"),
            Self::TooManyOverwrites => (400, 30_060, "Maximum number of channel permission overwrites reached (1000)"),
            Self::OneParentAtATime => (400, 40_009, "Only one channel's parent can be changed at a time"),
            Self::NotInVoice => (400, 40_032, "Target user is not connected to voice."),
            Self::MissingAccess => (403, 50_001, "Missing Access"),
            Self::EmptyMessage => (400, 50_006, "Cannot send an empty message"),
            Self::NotATextChannel => (400, 50_008, "Cannot send messages in a non-text channel"),
            Self::MissingPermissions => (403, 50_013, "Missing Permissions"),
            Self::WrongChannelType => (400, 50_024, "Cannot execute action on this channel type"),
            Self::WrongWebhookToken => (401, 50_027, "Invalid Webhook Token"),
            Self::RulesChannelStays => (400, 50_074, "Cannot delete a channel required for Community guilds"),
            Self::GuildUnavailable => (503, 0, "503: Service Unavailable"),
        }
    }

    /// Status and JSON error code, which tell one cause from another.
    pub(crate) fn cause(&self) -> (u16, u32) {
        let (status, code, _) = self.wording();
        (status, code)
    }

    /// Status and body of the answer.
    pub(crate) fn into_answer(self) -> (u16, Value) {
        let (status, code, message) = self.wording();
        let mut body = json!({"message": message, "code": code});
        if let Self::InvalidForm(FormErrors(errors)) = self {
            body["errors"] = Value::Object(errors);
        }
        (status, body)
    }
}

impl From<ChannelError> for ApiError {
    fn from(error: ChannelError) -> Self {
        match error {
            ChannelError::UnknownGuild(_) => Self::UnknownGuild,
            ChannelError::UnknownChannel(_) => Self::UnknownChannel,
            ChannelError::GuildFull => Self::TooManyChannels,
            ChannelError::NotACategory(_) => {
                FormErrors::one(&["parent_id"], "CHANNEL_PARENT_INVALID", "Category does not exist")
            }
            ChannelError::CategoryUnderCategory => {
                FormErrors::one(&["parent_id"], "CHANNEL_PARENT_INVALID_TYPE", "Categories cannot have a parent")
            }
            ChannelError::CategoryFull(_) => FormErrors::one(
                &["parent_id"],
                "CHANNEL_PARENT_MAX_CHANNELS",
                "Maximum number of channels in category reached (50)",
            ),
        }
    }
}

impl From<InviteError> for ApiError {
    fn from(error: InviteError) -> Self {
        match error {
            InviteError::UnknownChannel(_) => Self::UnknownChannel,
            InviteError::Category(_) => Self::WrongChannelType,
            InviteError::TooMany => Self::TooManyInvites,
            InviteError::UnknownInvite(_) => Self::UnknownInvite,
        }
    }
}

impl From<WebhookError> for ApiError {
    fn from(error: WebhookError) -> Self {
        match error {
            WebhookError::UnknownChannel(_) => Self::UnknownChannel,
            WebhookError::UnknownWebhook(_) => Self::UnknownWebhook,
            WebhookError::Category(_) => Self::WrongChannelType,
            WebhookError::ChannelFull(_) => Self::TooManyWebhooks,
            WebhookError::GuildFull => Self::TooManyGuildWebhooks,
        }
    }
}

impl From<VoiceError> for ApiError {
    fn from(error: VoiceError) -> Self {
        match error {
            VoiceError::UnknownGuild(_) => Self::UnknownGuild,
            VoiceError::UnknownChannel(_) => Self::UnknownChannel,
            VoiceError::NotARoom(_) => Self::WrongChannelType,
            VoiceError::Full { .. } | VoiceError::Forbidden { .. } => Self::MissingPermissions,
            VoiceError::NotInVoice(_) | VoiceError::NoPerson(_) => Self::NotInVoice,
        }
    }
}
