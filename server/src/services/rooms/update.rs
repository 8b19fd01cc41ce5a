//! UpdateRoom: what a mask names, set to what the request says.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use parlor_gateway::{
    CategoryId, Ownership, Policy, RoomFacts, RoomId, RoomKind,
    rest::{Caller, Overwrite, RoomChange},
};
use parlor_proto::v1::{self, UpstreamState};
use uuid::Uuid;

use super::{
    keeper::{Keeper, audited, unknown_room},
    spec::Access,
};
use crate::{
    hub::Draft,
    rooms::mark_of,
    services::{
        calls::Ticket,
        discord::{Mandate as _, UpdatePermit},
        fields::Fields,
    },
    status::Failure,
};

/// Discord's default bitrate (Discord docs, resources/channel).
const DEFAULT_BITRATE: u32 = 64_000;

/// How long the gateway takes to tell of a change, at most.
const TELLING: Duration = Duration::from_secs(2);

/// What to change about a room.
#[derive(Clone, Debug, Default)]
pub(super) struct UpdateOrder {
    /// What Discord is asked for.
    pub(super) change: RoomChange,
    /// Who may do what in it from now on.
    pub(super) access: Option<Access>,
    /// The status line; `Some(None)` for none.
    pub(super) status: Option<Option<String>>,
    pub(super) labels: Option<BTreeMap<String, String>>,
    pub(super) policy: Option<Policy>,
}

impl UpdateOrder {
    /// Reads the fields that the mask names, for a room of this kind in a guild whose boosts go so far.
    pub(super) fn read(
        request: &v1::UpdateRoomRequest,
        kind: RoomKind,
        bitrate_limit: Option<u32>,
        fields: &mut Fields,
    ) -> Self {
        let mut order = Self::default();
        let paths = request.update_mask.as_ref().map(|mask| mask.paths.as_slice()).unwrap_or_default();
        let paths: BTreeSet<&str> = paths.iter().map(String::as_str).collect();
        if paths.is_empty() {
            fields.wrong("update_mask", "is required: it names the fields to set");
        }
        let change = &mut order.change;
        for path in &paths {
            match *path {
                "display_name" => change.name = Some(fields.display_name(&request.display_name)),
                "category_id" => change.category = Some(fields.optional_id("category_id", &request.category_id)),
                "user_limit" => change.user_limit = Some(fields.user_limit(request.user_limit, kind)),
                "bitrate_bps" => {
                    let bitrate = fields.bitrate(request.bitrate_bps, kind, bitrate_limit);
                    change.bitrate = Some(bitrate.unwrap_or(DEFAULT_BITRATE));
                }
                "region" => change.rtc_region = Some(fields.region(&request.region)),
                "video_quality" => {
                    change.video_quality = Some(fields.video_quality(request.video_quality).unwrap_or_default());
                }
                "status" => order.status = Some(fields.status(&request.status, kind)),
                "labels" => order.labels = Some(fields.labels("labels", &request.labels)),
                "policy" => order.policy = Some(fields.policy(request.policy.as_ref())),
                "permission_overwrites" if paths.contains("private") => {
                    fields.wrong("update_mask", "names permission_overwrites and private: either says it all");
                }
                "permission_overwrites" => order.access = Some(fields.access(None, &request.permission_overwrites)),
                "private" => order.access = Some(fields.access(request.private.as_ref(), &[])),
                other => fields.wrong("update_mask", format!("{other:?} is not a field that can be set")),
            }
        }
        order
    }

    /// Whether it is about what Parlor notes, which there is only of rooms that it made.
    pub(super) fn is_about_ownership(&self) -> bool {
        self.labels.is_some() || self.policy.is_some()
    }

    /// What is left to ask Discord for: not what is so already, because Discord counts the changes of a name.
    fn difference(&self, facts: &RoomFacts) -> Option<RoomChange> {
        let RoomChange { name, category, user_limit, bitrate, rtc_region, video_quality, overwrites } =
            self.change.clone();
        let change = RoomChange {
            name: name.filter(|name| *name != facts.name),
            category: category.filter(|category| *category != facts.category),
            user_limit: user_limit.filter(|limit| u32::from(*limit) != facts.user_limit),
            bitrate: bitrate.filter(|bitrate| *bitrate != facts.bitrate),
            rtc_region: rtc_region.filter(|region| *region != facts.region),
            video_quality: video_quality.filter(|quality| *quality != facts.video_quality),
            overwrites,
        };
        let RoomChange { name, category, user_limit, bitrate, rtc_region, video_quality, overwrites } = &change;
        let any = name.is_some()
            || category.is_some()
            || user_limit.is_some()
            || bitrate.is_some()
            || rtc_region.is_some()
            || video_quality.is_some()
            || overwrites.is_some();
        any.then_some(change)
    }
}

/// A change of a room for somebody.
pub(super) struct Change {
    pub(super) order: UpdateOrder,
    pub(super) permit: UpdatePermit,
    pub(super) room: RoomId,
    pub(super) request_id: Uuid,
    /// For the audit log, without our mark.
    pub(super) reason: String,
    pub(super) caller: Caller,
}

impl Keeper {
    /// Waits until the gateway has told what Discord answered. Its word is as new as the answer, or newer, so the answer
    /// is only needed where the gateway is silent.
    async fn unless_told(&self, answered: RoomFacts) -> Option<RoomFacts> {
        let mut changes = self.hub.changes();
        let told = async {
            loop {
                let snapshot = self.hub.snapshot();
                let known = snapshot.guilds.get(&answered.guild).and_then(|guild| guild.facts(answered.room));
                let same =
                    |known: &RoomFacts| RoomFacts { status: answered.status.clone(), ..known.clone() } == answered;
                if known.is_none_or(same) || changes.changed().await.is_err() {
                    return;
                }
            }
        };
        let in_time = tokio::time::timeout(TELLING, told).await.is_ok();
        let (guild, live) = (answered.guild, UpstreamState::Live);
        let is_current = self.hub.upstream() == live && self.hub.snapshot().guilds.contains_key(&guild);
        (!in_time && !is_current).then_some(answered)
    }

    /// The overwrites to ask Discord for. A new room gets its category's by itself, one that is there does not.
    async fn overwrites(
        &self,
        access: &Access,
        permit: &UpdatePermit,
        category: Option<CategoryId>,
        caller: &Caller,
    ) -> Result<Vec<Overwrite>, Failure> {
        match (access, category) {
            (Access::Inherited, Some(category)) => self.discord.overwrites_of(permit, category, caller).await,
            (Access::Inherited, None) | (Access::Overwrites(_) | Access::Private(_), _) => {
                Ok(access.overwrites(permit.guild(), self.bot()))
            }
        }
    }

    pub(super) async fn update(&self, change: Change, ticket: Ticket) -> Result<v1::UpdateRoomResponse, Failure> {
        let Change { mut order, permit, room, request_id, reason, caller } = change;
        let guild = permit.guild();
        let reason = audited(&reason, &mark_of(request_id));
        let snapshot = self.hub.snapshot();
        let known = snapshot.guilds.get(&guild).and_then(|guild| guild.facts(room)).cloned();
        let known = known.ok_or_else(|| unknown_room(room))?;
        let mut facts = None;
        if let Some(access) = &order.access {
            let category = order.change.category.unwrap_or(known.category);
            order.change.overwrites = Some(self.overwrites(access, &permit, category, &caller).await?);
        }
        if let Some(change) = order.difference(&known) {
            let is_private = matches!(order.access, Some(Access::Private(_)));
            let answered = self.discord.change(&permit, room, &change, is_private, &reason, &caller).await?;
            facts = self.unless_told(answered).await;
        }
        let status = order
            .status
            .clone()
            .filter(|status| known.status.as_deref() != Some(status.as_deref().unwrap_or_default()));
        let mut refused = None;
        if let Some(status) = &status {
            let set = self.discord.set_status(&permit, room, status.as_deref(), &reason, &caller).await;
            refused = set.err();
        }
        let is_whole = refused.is_none();
        let note = move |draft: &mut Draft<'_>| {
            let Some(known) = draft.directory.guild(guild) else { return Err(unknown_room(room)) };
            let ownership = known.ownership(room).map(|owned| Ownership {
                labels: order.labels.filter(|_| is_whole).unwrap_or_else(|| owned.labels.clone()),
                policy: order.policy.filter(|_| is_whole).unwrap_or(owned.policy),
                creator: owned.creator.clone(),
            });
            let facts = facts.or_else(|| known.facts(room).cloned()).filter(|_| known.has_room(room));
            // Otherwise it has ended meanwhile.
            let facts = facts.ok_or_else(|| unknown_room(room))?;
            let mut changes = draft.directory.change_room(guild, facts, ownership, draft.wall);
            if let Some(status) = status.filter(|_| is_whole) {
                changes.extend(draft.directory.set_status(guild, room, status, draft.wall));
            }
            draft.tell(changes);
            let placed = draft.placed(guild, room);
            let request_id = request_id.to_string();
            let answer = v1::UpdateRoomResponse { room: placed.room, cursor: placed.cursor, request_id };
            if is_whole {
                ticket.answer(draft, &answer);
            }
            Ok(answer)
        };
        // What Discord has done is noted, also where it did not do the rest.
        let answer = self.act(note).await?;
        match refused {
            Some(failure) => Err(failure),
            None => answer,
        }
    }
}
