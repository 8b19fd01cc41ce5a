//! Requests that change people or write to them, as messages. Each field that is refused is one that the comments of the
//! contract forbid, and what is sound in every field gets as far as the guild, which the bot is not in.

use std::{collections::BTreeSet, sync::Arc};

use parlor_proto::v1::{
    self, participant_service_server::ParticipantService as _, webhook_service_server::WebhookService as _,
};
use parlor_server::services::{Participants, Webhooks};
use prost::Message as _;
use tokio::runtime::Runtime;
use tonic::{Request, Status};

use crate::scene;

thread_local! {
    static RUNTIME: Runtime = scene::runtime();
    static PARTICIPANTS: Arc<Participants> = made(|| scene::participants(scene::empty_hub()));
    static WEBHOOKS: Arc<Webhooks> = made(|| scene::webhooks(scene::empty_hub()));
}

fn made<T>(make: fn() -> T) -> Arc<T> {
    RUNTIME.with(|runtime| runtime.block_on(async { Arc::new(make()) }))
}

/// Puts the caller beside a message.
fn from_caller<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.extensions_mut().insert(scene::caller());
    request
}

/// Any bytes as a `MoveParticipantRequest`.
pub fn move_participant_request(data: &[u8]) {
    let Ok(request) = v1::MoveParticipantRequest::decode(data) else { return };
    let service = PARTICIPANTS.with(Arc::clone);
    let answer = RUNTIME.with(|runtime| runtime.block_on(service.move_participant(from_caller(request.clone()))));
    let mut wrong = Wrong::default();
    wrong.forbid("to_room_id", !is_id(&request.to_room_id));
    wrong.forbid("guild_id", !is_id(&request.guild_id));
    wrong.forbid("user_id", !is_id(&request.user_id));
    wrong.request_id(&request.request_id);
    wrong.forbid("audit_log_reason", request.audit_log_reason.chars().count() > 460);
    wrong.judge(&answer.expect_err("nobody is there to be moved"));
}

/// Any bytes as an `ExecuteWebhookRequest`.
pub fn execute_webhook_request(data: &[u8]) {
    let Ok(request) = v1::ExecuteWebhookRequest::decode(data) else { return };
    let service = WEBHOOKS.with(Arc::clone);
    let answer = RUNTIME.with(|runtime| runtime.block_on(service.execute_webhook(from_caller(request.clone()))));
    let mut wrong = Wrong::default();
    let name = &request.display_name;
    let taken = ["clyde", "discord"].iter().any(|word| name.to_lowercase().contains(word));
    let blank = !name.is_empty() && name.chars().all(char::is_whitespace);
    wrong.forbid("guild_id", !is_id(&request.guild_id));
    wrong.forbid("webhook_id", !is_id(&request.webhook_id));
    let length = request.content.chars().count();
    wrong.forbid("content", request.content.chars().all(char::is_whitespace) || length > 2_000);
    wrong.forbid("display_name", name.chars().count() > 80 || name.contains(char::is_control) || taken || blank);
    let mentions = &request.mention_user_ids;
    wrong.forbid("mention_user_ids", mentions.len() > 100 || mentions.iter().any(|id| !is_id(id)));
    let picture = &request.avatar_url;
    let is_https = picture.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("https://"));
    wrong.forbid("avatar_url", !picture.is_empty() && (!is_https || picture.len() > 2_048));
    // What stands behind the scheme may be no URL in more ways than are worth telling here.
    wrong.leave_open("avatar_url", is_https && picture.len() <= 2_048);
    wrong.request_id(&request.request_id);
    wrong.judge(&answer.expect_err("nobody is there to write"));
}

fn is_id(text: &str) -> bool {
    (17..=20).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u64>().is_ok()
}

/// The fields that the contract forbids, and those whose form it leaves open.
#[derive(Default)]
struct Wrong {
    fields: BTreeSet<&'static str>,
    open: BTreeSet<&'static str>,
}

impl Wrong {
    fn forbid(&mut self, field: &'static str, is_wrong: bool) {
        if is_wrong {
            self.fields.insert(field);
        }
    }

    fn leave_open(&mut self, field: &'static str, is_open: bool) {
        if is_open {
            self.open.insert(field);
        }
    }

    /// Besides the form with hyphens there are three that RFC 9562 does not name and libraries read all the same.
    fn request_id(&mut self, id: &str) {
        let digits = id.bytes().filter(u8::is_ascii_hexdigit).count();
        let hyphenated = id.split('-').map(str::len).eq([8, 4, 4, 4, 12]) && digits == 32;
        let unclear = !id.is_empty() && !hyphenated && digits >= 32;
        self.leave_open("request_id", unclear);
        self.forbid("request_id", !id.is_empty() && !hyphenated && !unclear);
    }

    fn judge(&self, status: &Status) {
        let (reason, fields) = scene::refused(status);
        // `mention_user_ids[2]` is a value of `mention_user_ids`.
        let bare = |field: &String| field.split('[').next().unwrap_or_default().to_owned();
        let fields: BTreeSet<String> = fields.iter().map(bare).collect();
        let closed = |field: &&str| !self.open.contains(field);
        let refused: BTreeSet<&str> = fields.iter().map(String::as_str).filter(closed).collect();
        let wrong: BTreeSet<&str> = self.fields.iter().copied().filter(closed).collect();
        match reason.as_str() {
            // Of very many violations not all fit into the answer.
            "INVALID_ARGUMENT" if fields.contains("mention_user_ids") => assert!(refused.is_subset(&wrong)),
            "INVALID_ARGUMENT" => assert_eq!(refused, wrong, "other fields than the contract says are refused"),
            "GUILD_UNKNOWN" => assert!(wrong.is_empty(), "{wrong:?} were taken"),
            other => panic!("{other} from an empty server"),
        }
    }
}
