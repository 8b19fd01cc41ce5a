//! From request fields to types that cannot be wrong. Every wrong field is reported, not only the first.

use std::str::FromStr;

use parlor_gateway::RoomKind;
use parlor_proto::v1;
use uuid::Uuid;

use crate::status::Failure;

/// Discord's audit log takes 512 characters; our own mark needs the rest.
const MAX_REASON: usize = 460;

/// The longest name of a webhook (Discord docs, resources/webhook).
const MAX_WEBHOOK_NAME: usize = 80;

/// Collects what is wrong while fields are read.
#[derive(Debug, Default)]
pub(super) struct Fields {
    wrong: Vec<(String, String)>,
}

impl Fields {
    /// Notes a wrong field.
    pub(super) fn wrong(&mut self, field: &str, description: impl Into<String>) {
        self.wrong.push((field.to_owned(), description.into()));
    }

    /// An id that has to be there.
    pub(super) fn id<T: FromStr>(&mut self, field: &str, text: &str) -> Option<T> {
        if text.is_empty() {
            self.wrong(field, "is required");
            return None;
        }
        self.optional_id(field, text)
    }

    /// An id that may be empty.
    pub(super) fn optional_id<T: FromStr>(&mut self, field: &str, text: &str) -> Option<T> {
        if text.is_empty() {
            return None;
        }
        let id = text.parse().ok();
        if id.is_none() {
            self.wrong(field, "is not an id: 17 to 20 decimal digits");
        }
        id
    }

    /// A room's name, as Discord takes it (Discord docs, resources/channel: 1 to 100 characters).
    pub(super) fn display_name(&mut self, text: &str) -> String {
        let length = text.chars().count();
        if text.trim().is_empty() {
            self.wrong("display_name", "is required and may not be blank");
        } else if length > 100 {
            self.wrong("display_name", format!("has {length} characters; Discord takes up to 100"));
        } else if text.chars().any(char::is_control) {
            self.wrong("display_name", "holds control characters");
        }
        text.to_owned()
    }

    /// A webhook's name, as Discord takes it (Discord docs, resources/webhook, "Create Webhook").
    pub(super) fn webhook_name(&mut self, text: &str) -> String {
        let lower = text.to_lowercase();
        let length = text.chars().count();
        if text.trim().is_empty() {
            self.wrong("display_name", "is required and may not be blank");
        } else if length > MAX_WEBHOOK_NAME {
            self.wrong("display_name", format!("has {length} characters; Discord takes up to {MAX_WEBHOOK_NAME}"));
        } else if text.chars().any(char::is_control) {
            self.wrong("display_name", "holds control characters");
        }
        for taken in ["clyde", "discord"] {
            if lower.contains(taken) {
                self.wrong("display_name", format!("holds \"{taken}\", which Discord keeps for itself"));
            }
        }
        text.to_owned()
    }

    /// The name that one message of a webhook comes under; the webhook's own where it is empty.
    pub(super) fn message_name(&mut self, text: &str) -> Option<String> {
        (!text.is_empty()).then(|| self.webhook_name(text))
    }

    /// What a message says.
    pub(super) fn content(&mut self, text: &str) -> String {
        let length = text.chars().count();
        if text.trim().is_empty() {
            self.wrong("content", "is required and may not be blank");
        } else if length > 2_000 {
            self.wrong("content", format!("has {length} characters; Discord takes up to 2000"));
        }
        text.to_owned()
    }

    /// Where a picture is, if anywhere.
    pub(super) fn picture(&mut self, field: &str, text: &str) -> Option<String> {
        if text.is_empty() {
            return None;
        }
        let is_https = text.parse::<http::Uri>().is_ok_and(|url| url.scheme_str() == Some("https"));
        if !is_https || text.len() > 2_048 {
            self.wrong(field, "is not an https URL of up to 2048 characters");
        }
        Some(text.to_owned())
    }

    /// Voice unless the request says otherwise.
    pub(super) fn kind(&mut self, kind: i32) -> RoomKind {
        match v1::RoomKind::try_from(kind) {
            Ok(v1::RoomKind::Unspecified | v1::RoomKind::Voice) => RoomKind::Voice,
            Ok(v1::RoomKind::Stage) => RoomKind::Stage,
            Err(_) => {
                self.wrong("kind", format!("{kind} is not a RoomKind"));
                RoomKind::Voice
            }
        }
    }

    /// 0 to 99, or to 10,000 on a stage.
    pub(super) fn user_limit(&mut self, limit: i32, kind: RoomKind) -> u16 {
        let most = match kind {
            RoomKind::Voice => 99,
            RoomKind::Stage => 10_000,
        };
        u16::try_from(limit).ok().filter(|limit| *limit <= most).unwrap_or_else(|| {
            self.wrong("user_limit", format!("is {limit}; it goes from 0 to {most}"));
            0
        })
    }

    /// `None` for Discord's default. `limit`: how far the guild's boosts go, where that is known; otherwise Discord judges.
    pub(super) fn bitrate(&mut self, bps: i32, kind: RoomKind, limit: Option<u32>) -> Option<u32> {
        let most = match kind {
            RoomKind::Voice => limit.unwrap_or(384_000),
            RoomKind::Stage => 64_000,
        };
        match u32::try_from(bps) {
            Ok(0) => None,
            Ok(bps) if (8_000..=most).contains(&bps) => Some(bps),
            _ => {
                self.wrong("bitrate_bps", format!("is {bps}; it is 0 or goes from 8000 to {most} in this guild"));
                None
            }
        }
    }

    /// The request's UUID, or a new one.
    pub(super) fn request_id(&mut self, text: &str) -> Uuid {
        if text.is_empty() {
            return Uuid::new_v4();
        }
        Uuid::try_parse(text).unwrap_or_else(|_| {
            self.wrong("request_id", "is not a UUID");
            Uuid::nil()
        })
    }

    /// What the audit log is to say besides our own mark.
    pub(super) fn audit_log_reason(&mut self, text: &str) -> String {
        let length = text.chars().count();
        if length > MAX_REASON {
            self.wrong("audit_log_reason", format!("has {length} characters; up to {MAX_REASON} fit"));
        }
        text.to_owned()
    }

    /// How many items a page has: 50 where the request does not say, 1,000 at most.
    pub(super) fn page_size(&mut self, size: i32) -> usize {
        match usize::try_from(size) {
            Ok(0) => 50,
            Ok(size) => size.min(1_000),
            Err(_) => {
                self.wrong("page_size", "is negative");
                50
            }
        }
    }

    /// The failure that lists everything that is wrong, if anything is.
    pub(super) fn finish(self) -> Result<(), Failure> {
        if self.wrong.is_empty() { Ok(()) } else { Err(Failure::bad_request(self.wrong)) }
    }
}
