//! What Discord calls the fields of a request, and what the caller of Parlor does.

/// The names of one request's fields where they differ. `[]` stands for a place in a list; what ends in `*` stands for all
/// that is in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Names(&'static [(&'static str, &'static str)]);

impl Names {
    /// The same here and there.
    pub(super) const SAME: Self = Self(&[]);

    /// Of CreateRoom and UpdateRoom.
    pub(super) const ROOM: Self = Self(&[
        ("name", "display_name"),
        ("type", "kind"),
        ("parent_id", "category_id"),
        ("bitrate", "bitrate_bps"),
        ("rtc_region", "region"),
        ("video_quality_mode", "video_quality"),
        ("permission_overwrites[].type", "permission_overwrites[].kind"),
    ]);

    /// Of the same, where `private` says who may do what.
    pub(super) const PRIVATE_ROOM: Self = Self(&[
        ("name", "display_name"),
        ("type", "kind"),
        ("parent_id", "category_id"),
        ("bitrate", "bitrate_bps"),
        ("rtc_region", "region"),
        ("video_quality_mode", "video_quality"),
        ("permission_overwrites*", "private"),
    ]);

    /// Of CreateRoom, for its invite.
    pub(super) const INVITE: Self = Self(&[
        ("max_age", "invite.max_age"),
        ("max_uses", "invite.max_uses"),
        ("temporary", "invite.temporary"),
        ("unique", "invite"),
    ]);

    /// Of SendMessage.
    pub(super) const MESSAGE: Self = Self(&[
        ("allowed_mentions", "notify_user_ids"),
        ("allowed_mentions.users", "notify_user_ids"),
        ("nonce", "request_id"),
        ("enforce_nonce", "request_id"),
    ]);

    /// Of CreateWebhook.
    pub(super) const WEBHOOK: Self = Self(&[("name", "display_name")]);

    /// Of ExecuteWebhook.
    pub(super) const POST: Self = Self(&[
        ("username", "display_name"),
        ("allowed_mentions", "mention_user_ids"),
        ("allowed_mentions.users", "mention_user_ids"),
    ]);

    /// Of the calls that change a participant.
    pub(super) const MEMBER: Self = Self(&[("channel_id", "to_room_id")]);
}

/// What the caller calls a field of Discord's, which is a path whose places in lists are written `a.0.b` or `a[0].b`.
pub(super) fn our_name(names: Names, field: &str) -> String {
    let spelled = field.replace('[', ".").replace(']', "");
    let steps: Vec<&str> = spelled.split('.').filter(|step| !step.is_empty()).collect();
    let is_place = |step: &str| step.bytes().all(|byte| byte.is_ascii_digit());
    let join = |steps: &[&str], place: fn(&str) -> String| {
        steps.iter().fold(String::new(), |path, step| match (is_place(step), path.is_empty()) {
            (true, _) => format!("{path}[{}]", place(step)),
            (false, true) => (*step).to_owned(),
            (false, false) => format!("{path}.{step}"),
        })
    };
    for taken in (1..=steps.len()).rev() {
        let (known, rest) = steps.split_at(taken);
        let shape = join(known, |_| String::new());
        for (theirs, ours) in names.0 {
            if theirs.strip_suffix('*') == Some(&*shape) {
                return (*ours).to_owned();
            }
            if *theirs == shape {
                let places = known.iter().filter(|step| is_place(step));
                let ours = places.fold((*ours).to_owned(), |path, place| path.replacen("[]", &format!("[{place}]"), 1));
                let rest = join(rest, str::to_owned);
                return match rest.starts_with('[') || rest.is_empty() {
                    true => ours + &rest,
                    false => format!("{ours}.{rest}"),
                };
            }
        }
    }
    join(&steps, str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_fields_come_back_under_our_names() {
        for (names, theirs, ours) in [
            (Names::ROOM, "name", "display_name"),
            (Names::ROOM, "bitrate", "bitrate_bps"),
            (Names::ROOM, "user_limit", "user_limit"),
            (Names::ROOM, "permission_overwrites", "permission_overwrites"),
            (Names::ROOM, "permission_overwrites.12.type", "permission_overwrites[12].kind"),
            (Names::ROOM, "permission_overwrites[12].type", "permission_overwrites[12].kind"),
            (Names::ROOM, "permission_overwrites.0.allow", "permission_overwrites[0].allow"),
            (Names::ROOM, "permission_overwrites.0", "permission_overwrites[0]"),
            (Names::PRIVATE_ROOM, "permission_overwrites.2.id", "private"),
            (Names::PRIVATE_ROOM, "permission_overwrites", "private"),
            (Names::PRIVATE_ROOM, "rtc_region", "region"),
            (Names::INVITE, "max_age", "invite.max_age"),
            (Names::INVITE, "temporary", "invite.temporary"),
            (Names::MESSAGE, "allowed_mentions.users.3", "notify_user_ids[3]"),
            (Names::MESSAGE, "allowed_mentions.users", "notify_user_ids"),
            (Names::MESSAGE, "content", "content"),
            (Names::POST, "username", "display_name"),
            (Names::POST, "allowed_mentions.users.0", "mention_user_ids[0]"),
            (Names::WEBHOOK, "name", "display_name"),
            (Names::MEMBER, "channel_id", "to_room_id"),
            (Names::MEMBER, "mute", "mute"),
            (Names::SAME, "", ""),
            (Names::SAME, "a.0.b.1.c", "a[0].b[1].c"),
        ] {
            assert_eq!(our_name(names, theirs), ours, "{names:?} {theirs}");
        }
    }
}
