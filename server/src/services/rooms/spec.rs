//! From the fields of a request to a room that can be asked for.

use std::{collections::BTreeMap, time::Duration};

use parlor_gateway::{
    CategoryId, GuildId, Ownership, Policy, RoleId, RoomKind, UserId, VideoQuality,
    rest::{
        Overwrite, OverwriteTarget,
        permission::{Permission, PermissionSet},
    },
};
use parlor_proto::v1;
use uuid::Uuid;

use super::permissions;
use crate::{rooms::Invitation, services::fields::Fields, status::Failure};

/// The longest status line (Discord docs, resources/channel, "Set Voice Channel Status").
const MAX_STATUS: usize = 500;
/// How many overwrites one request may hold (Discord's OpenAPI, `GuildChannelCreateRequest`).
const MAX_OVERWRITES: usize = 100;
/// How many members and roles a private room may name; the rest of the overwrites is for everybody and the bot.
const MAX_PRIVATE: usize = 90;
const MAX_LABELS: usize = 16;
const MAX_LABEL_KEY: usize = 63;
const MAX_LABEL_VALUE: usize = 128;
/// The times that a policy may name.
const POLICY_TIMES: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(30 * 24 * 3_600);
/// The longest life of an invite, and how often it can be used (Discord docs, resources/channel, "Create Channel Invite").
const MAX_INVITE_AGE: Duration = Duration::from_secs(7 * 24 * 3_600);
const MAX_INVITE_USES: u16 = 100;

/// A room to make, in a guild that is known and permitted elsewhere.
#[derive(Clone, Debug)]
pub(in crate::services) struct RoomSpec {
    pub(in crate::services) name: String,
    pub(in crate::services) kind: RoomKind,
    pub(in crate::services) category: Option<CategoryId>,
    pub(in crate::services) user_limit: u16,
    pub(in crate::services) bitrate: Option<u32>,
    pub(in crate::services) region: Option<String>,
    pub(in crate::services) video_quality: Option<VideoQuality>,
    pub(in crate::services) access: Access,
}

/// Who may do what in a room.
#[derive(Clone, Debug)]
pub(in crate::services) enum Access {
    /// As the category says.
    Inherited,
    /// As these say.
    Overwrites(Vec<Overwrite>),
    /// Only these may see and join it.
    Private(Vec<OverwriteTarget>),
}

impl Access {
    /// The overwrites to ask Discord for.
    pub(in crate::services) fn overwrites(&self, guild: GuildId, bot: Option<UserId>) -> Vec<Overwrite> {
        match self {
            Self::Inherited => Vec::new(),
            Self::Overwrites(overwrites) => overwrites.clone(),
            Self::Private(targets) => {
                let entry = PermissionSet::from_iter([Permission::ViewChannel, Permission::Connect]);
                let none = PermissionSet::default();
                let everybody = OverwriteTarget::Role(RoleId::new(guild.get()));
                let closed = Overwrite { target: everybody, allow: none, deny: entry };
                let bot = bot.map(OverwriteTarget::Member).filter(|bot| !targets.contains(bot));
                let open = |target| Overwrite { target, allow: entry, deny: none };
                std::iter::once(closed).chain(targets.iter().copied().chain(bot).map(open)).collect()
            }
        }
    }
}

/// Everything that a CreateRoom asks for.
#[derive(Clone, Debug)]
pub(super) struct CreateOrder {
    pub(super) guild: GuildId,
    pub(super) spec: RoomSpec,
    pub(super) ownership: Ownership,
    pub(super) status: Option<String>,
    pub(super) invite: Option<Invitation>,
    pub(super) request_id: Uuid,
    /// For the audit log, without our mark.
    pub(super) reason: String,
}

impl CreateOrder {
    /// Reads a request. `bitrate_limit`: the highest bitrate of a guild, where it is known.
    pub(super) fn read(
        request: &v1::CreateRoomRequest,
        creator: &str,
        bitrate_limit: impl Fn(GuildId) -> Option<u32>,
    ) -> Result<Self, Failure> {
        let mut fields = Fields::default();
        let guild: Option<GuildId> = fields.id("guild_id", &request.guild_id);
        let kind = fields.kind(request.kind);
        let spec = RoomSpec {
            name: fields.display_name(&request.display_name),
            kind,
            category: fields.optional_id("category_id", &request.category_id),
            user_limit: fields.user_limit(request.user_limit, kind),
            bitrate: fields.bitrate(request.bitrate_bps, kind, guild.and_then(bitrate_limit)),
            region: fields.region(&request.region),
            video_quality: fields.video_quality(request.video_quality),
            access: fields.access(request.private.as_ref(), &request.permission_overwrites),
        };
        let status = fields.status(&request.status, kind);
        let labels = fields.labels("labels", &request.labels);
        let policy = fields.policy(request.policy.as_ref());
        let invite = request.invite.as_ref().map(|invite| fields.invite(invite));
        let request_id = fields.request_id(&request.request_id);
        let reason = fields.audit_log_reason(&request.audit_log_reason);
        fields.finish()?;
        let guild = guild.expect("a missing guild is a wrong field");
        let ownership = Ownership { creator: creator.to_owned(), labels, policy };
        Ok(Self { guild, spec, ownership, status, invite, request_id, reason })
    }
}

/// The fields that rooms have beside those of every request.
impl Fields {
    /// A region's id, which Discord judges; `None` to let Discord choose.
    pub(super) fn region(&mut self, text: &str) -> Option<String> {
        let shaped =
            text.len() <= 100 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        if !shaped {
            self.wrong("region", "is not the id of a voice region, such as rotterdam");
        }
        Some(text.to_owned()).filter(|text| !text.is_empty())
    }

    /// `None` where the request does not say.
    pub(super) fn video_quality(&mut self, quality: i32) -> Option<VideoQuality> {
        match v1::VideoQuality::try_from(quality) {
            Ok(v1::VideoQuality::Unspecified) => None,
            Ok(v1::VideoQuality::Auto) => Some(VideoQuality::Auto),
            Ok(v1::VideoQuality::Full) => Some(VideoQuality::Full),
            Err(_) => {
                self.wrong("video_quality", format!("{quality} is not a VideoQuality"));
                None
            }
        }
    }

    /// A status line; `None` for none.
    pub(super) fn status(&mut self, text: &str, kind: RoomKind) -> Option<String> {
        let length = text.chars().count();
        if length > MAX_STATUS {
            self.wrong("status", format!("has {length} characters; Discord takes up to {MAX_STATUS}"));
        } else if !text.is_empty() && kind == RoomKind::Stage {
            self.wrong("status", "is for voice rooms: a stage has none");
        }
        Some(text.to_owned()).filter(|text| !text.is_empty())
    }

    /// Labels, to set or to look for.
    pub(super) fn labels(&mut self, field: &str, labels: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        if labels.len() > MAX_LABELS {
            self.wrong(field, format!("holds {} labels; up to {MAX_LABELS} fit", labels.len()));
        }
        let in_key = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._/-".contains(&byte);
        for (key, value) in labels {
            if !(1..=MAX_LABEL_KEY).contains(&key.len()) || !key.bytes().all(in_key) {
                self.wrong(field, format!("{key:?} is not a key: 1 to {MAX_LABEL_KEY} of a-z 0-9 . _ / -"));
            }
            if value.chars().count() > MAX_LABEL_VALUE || value.chars().any(char::is_control) {
                let limit =
                    format!("the value of {key:?} is over {MAX_LABEL_VALUE} characters or holds control characters");
                self.wrong(field, limit);
            }
        }
        labels.clone()
    }

    /// When the room ends by itself.
    pub(super) fn policy(&mut self, policy: Option<&v1::RoomPolicy>) -> Policy {
        let Some(policy) = policy else { return Policy::default() };
        let mut time = |field: &str, time: Option<prost_types::Duration>| {
            let time = time.filter(|time| (time.seconds, time.nanos) != (0, 0))?;
            let read = Duration::try_from(time).ok().filter(|time| POLICY_TIMES.contains(time));
            let whole = read.filter(|time| time.subsec_nanos().is_multiple_of(1_000_000));
            if whole.is_none() {
                self.wrong(&format!("policy.{field}"), "is 0, or goes from 1 s to 30 days in whole milliseconds");
            }
            whole
        };
        Policy {
            empty_timeout: time("empty_timeout", policy.empty_timeout),
            departure_timeout: time("departure_timeout", policy.departure_timeout),
            max_duration: time("max_duration", policy.max_duration),
        }
    }

    fn invite(&mut self, invite: &v1::InviteOptions) -> Invitation {
        let age = Duration::try_from(invite.max_age.unwrap_or_default()).ok();
        let max_age = age.filter(|age| *age <= MAX_INVITE_AGE && age.subsec_nanos() == 0);
        if max_age.is_none() {
            self.wrong("invite.max_age", "goes from 0 to 7 days in whole seconds");
        }
        let max_uses = u16::try_from(invite.max_uses).ok().filter(|uses| *uses <= MAX_INVITE_USES);
        if max_uses.is_none() {
            self.wrong("invite.max_uses", format!("is {}; it goes from 0 to {MAX_INVITE_USES}", invite.max_uses));
        }
        Invitation {
            max_age: max_age.unwrap_or_default(),
            max_uses: max_uses.unwrap_or_default(),
            temporary: invite.temporary,
        }
    }

    /// Who may do what in a room.
    pub(super) fn access(
        &mut self,
        private: Option<&v1::PrivateRoom>,
        overwrites: &[v1::PermissionOverwrite],
    ) -> Access {
        if let Some(private) = private {
            if !overwrites.is_empty() {
                self.wrong("private", "does not go with permission_overwrites: name everybody in one of them");
            }
            return Access::Private(self.private(private));
        }
        if overwrites.len() > MAX_OVERWRITES {
            self.wrong(
                "permission_overwrites",
                format!("holds {}; Discord takes up to {MAX_OVERWRITES}", overwrites.len()),
            );
        }
        let read: Vec<Overwrite> = overwrites
            .iter()
            .enumerate()
            .filter_map(|(index, overwrite)| self.overwrite(&format!("permission_overwrites[{index}]"), overwrite))
            .collect();
        if read.is_empty() { Access::Inherited } else { Access::Overwrites(read) }
    }

    fn private(&mut self, private: &v1::PrivateRoom) -> Vec<OverwriteTarget> {
        let count = private.user_ids.len() + private.role_ids.len();
        if count > MAX_PRIVATE {
            self.wrong("private", format!("names {count}; up to {MAX_PRIVATE} fit"));
        }
        let mut targets = Vec::new();
        for (index, id) in private.user_ids.iter().enumerate() {
            targets.extend(self.id(&format!("private.user_ids[{index}]"), id).map(OverwriteTarget::Member));
        }
        for (index, id) in private.role_ids.iter().enumerate() {
            targets.extend(self.id(&format!("private.role_ids[{index}]"), id).map(OverwriteTarget::Role));
        }
        targets.sort();
        targets.dedup();
        targets
    }

    fn overwrite(&mut self, path: &str, overwrite: &v1::PermissionOverwrite) -> Option<Overwrite> {
        let target = match overwrite.kind() {
            v1::permission_overwrite::Kind::Role => {
                self.id(&format!("{path}.id"), &overwrite.id).map(OverwriteTarget::Role)
            }
            v1::permission_overwrite::Kind::Member => {
                self.id(&format!("{path}.id"), &overwrite.id).map(OverwriteTarget::Member)
            }
            v1::permission_overwrite::Kind::Unspecified => {
                self.wrong(&format!("{path}.kind"), "is required: a role or a member");
                None
            }
        };
        let mut set = |field: &str, names: &[String]| {
            permissions::named(names).unwrap_or_else(|unknown| {
                self.wrong(&format!("{path}.{field}"), format!("no permissions of Discord's: {}", unknown.join(", ")));
                PermissionSet::default()
            })
        };
        let (allow, deny) = (set("allow", &overwrite.allow), set("deny", &overwrite.deny));
        if allow.bits() & deny.bits() != 0 {
            self.wrong(path, "gives and takes the same permission");
        }
        Some(Overwrite { target: target?, allow, deny })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUILD: GuildId = GuildId::new(100_000_000_000_000_001);
    const BOT: UserId = UserId::new(100_000_000_000_000_002);

    #[test]
    fn a_private_room_is_closed_to_everybody_and_open_to_those_who_are_named_and_the_bot() {
        let ann = UserId::new(300_000_000_000_000_001);
        let access = Access::Private(vec![OverwriteTarget::Member(ann)]);
        let shown: Vec<_> = access
            .overwrites(GUILD, Some(BOT))
            .into_iter()
            .map(|overwrite| (overwrite.target, overwrite.allow.bits(), overwrite.deny.bits()))
            .collect();
        let entry = 1 << 10 | 1 << 20;
        let everybody = OverwriteTarget::Role(RoleId::new(GUILD.get()));
        let member = OverwriteTarget::Member;
        assert_eq!(shown, [(everybody, 0, entry), (member(ann), entry, 0), (member(BOT), entry, 0)]);
    }

    fn wrong(request: v1::CreateRoomRequest) -> String {
        let request =
            v1::CreateRoomRequest { guild_id: GUILD.to_string(), display_name: "Standup".to_owned(), ..request };
        match CreateOrder::read(&request, "ann", |_| Some(96_000)) {
            Ok(_) => String::new(),
            Err(failure) => failure.violations().map(|(field, _)| field.to_owned()).collect::<Vec<_>>().join(" "),
        }
    }

    #[test]
    fn every_new_field_has_its_limits() {
        let request = v1::CreateRoomRequest::default;
        let seconds = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
        let labels = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
        let policy = |max_duration| Some(v1::RoomPolicy { max_duration, ..Default::default() });
        let overwrite = |overwrite| vec![overwrite];
        let role = v1::PermissionOverwrite { id: GUILD.to_string(), kind: 1, ..Default::default() };
        let names = |name: &str| vec![name.to_owned()];
        for (expected, request) in [
            ("", v1::CreateRoomRequest { bitrate_bps: 96_000, ..request() }),
            ("bitrate_bps", v1::CreateRoomRequest { bitrate_bps: 96_001, ..request() }),
            ("region", v1::CreateRoomRequest { region: "a/b".to_owned(), ..request() }),
            ("video_quality", v1::CreateRoomRequest { video_quality: 9, ..request() }),
            ("", v1::CreateRoomRequest { status: "x".repeat(500), ..request() }),
            ("status", v1::CreateRoomRequest { status: "x".repeat(501), ..request() }),
            ("status", v1::CreateRoomRequest { status: "x".to_owned(), kind: 2, ..request() }),
            ("", v1::CreateRoomRequest { labels: labels("team/a.b_c-d", "Ä"), ..request() }),
            ("labels", v1::CreateRoomRequest { labels: labels("Team", "x"), ..request() }),
            ("labels", v1::CreateRoomRequest { labels: labels("", "x"), ..request() }),
            ("labels", v1::CreateRoomRequest { labels: labels("team", "a\nb"), ..request() }),
            ("", v1::CreateRoomRequest { policy: policy(seconds(0)), ..request() }),
            ("", v1::CreateRoomRequest { policy: policy(seconds(2_592_000)), ..request() }),
            ("policy.max_duration", v1::CreateRoomRequest { policy: policy(seconds(2_592_001)), ..request() }),
            ("policy.max_duration", v1::CreateRoomRequest { policy: policy(seconds(-1)), ..request() }),
            (
                "permission_overwrites[0].kind",
                v1::CreateRoomRequest {
                    permission_overwrites: overwrite(v1::PermissionOverwrite { kind: 0, ..role.clone() }),
                    ..request()
                },
            ),
            (
                "permission_overwrites[0].allow",
                v1::CreateRoomRequest {
                    permission_overwrites: overwrite(v1::PermissionOverwrite { allow: names("FLY"), ..role.clone() }),
                    ..request()
                },
            ),
            (
                "permission_overwrites[0]",
                v1::CreateRoomRequest {
                    permission_overwrites: overwrite(v1::PermissionOverwrite {
                        allow: names("SPEAK"),
                        deny: names("SPEAK"),
                        ..role.clone()
                    }),
                    ..request()
                },
            ),
            (
                "private",
                v1::CreateRoomRequest {
                    permission_overwrites: overwrite(role.clone()),
                    private: Some(v1::PrivateRoom::default()),
                    ..request()
                },
            ),
            (
                "private.user_ids[0]",
                v1::CreateRoomRequest {
                    private: Some(v1::PrivateRoom { user_ids: names("ann"), ..Default::default() }),
                    ..request()
                },
            ),
            (
                "invite.max_age invite.max_uses",
                v1::CreateRoomRequest {
                    invite: Some(v1::InviteOptions { max_age: seconds(604_801), max_uses: 101, temporary: false }),
                    ..request()
                },
            ),
        ] {
            assert_eq!(wrong(request.clone()), expected, "{request:?}");
        }
    }
}
