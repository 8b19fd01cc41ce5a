//! Discord's permissions by name (Discord docs, topics/permissions, "Bitwise Permission Flags").

use parlor_gateway::rest::permission::PermissionSet;

/// The permissions that a guild's roles can have, with their bits; those of a guild as a whole have no effect in a room.
const NAMES: [(&str, u32); 41] = [
    ("CREATE_INSTANT_INVITE", 0),
    ("MANAGE_CHANNELS", 4),
    ("ADD_REACTIONS", 6),
    ("PRIORITY_SPEAKER", 8),
    ("STREAM", 9),
    ("VIEW_CHANNEL", 10),
    ("SEND_MESSAGES", 11),
    ("SEND_TTS_MESSAGES", 12),
    ("MANAGE_MESSAGES", 13),
    ("EMBED_LINKS", 14),
    ("ATTACH_FILES", 15),
    ("READ_MESSAGE_HISTORY", 16),
    ("MENTION_EVERYONE", 17),
    ("USE_EXTERNAL_EMOJIS", 18),
    ("CONNECT", 20),
    ("SPEAK", 21),
    ("MUTE_MEMBERS", 22),
    ("DEAFEN_MEMBERS", 23),
    ("MOVE_MEMBERS", 24),
    ("USE_VAD", 25),
    ("MANAGE_ROLES", 28),
    ("MANAGE_WEBHOOKS", 29),
    ("USE_APPLICATION_COMMANDS", 31),
    ("REQUEST_TO_SPEAK", 32),
    ("MANAGE_EVENTS", 33),
    ("MANAGE_THREADS", 34),
    ("CREATE_PUBLIC_THREADS", 35),
    ("CREATE_PRIVATE_THREADS", 36),
    ("USE_EXTERNAL_STICKERS", 37),
    ("SEND_MESSAGES_IN_THREADS", 38),
    ("USE_EMBEDDED_ACTIVITIES", 39),
    ("USE_SOUNDBOARD", 42),
    ("CREATE_EVENTS", 44),
    ("USE_EXTERNAL_SOUNDS", 45),
    ("SEND_VOICE_MESSAGES", 46),
    ("SET_VOICE_CHANNEL_STATUS", 48),
    ("SEND_POLLS", 49),
    ("USE_EXTERNAL_APPS", 50),
    ("PIN_MESSAGES", 51),
    ("BYPASS_SLOWMODE", 52),
    ("VIEW_AUDIT_LOG", 7),
];

/// The permissions of these names; the names that are none otherwise.
pub(super) fn named(names: &[String]) -> Result<PermissionSet, Vec<&str>> {
    let mut bits = 0;
    let mut unknown = Vec::new();
    for name in names {
        match NAMES.iter().find(|(known, _)| known == name) {
            Some((_, bit)) => bits |= 1 << bit,
            None => unknown.push(name.as_str()),
        }
    }
    if unknown.is_empty() { Ok(PermissionSet::from_bits(bits)) } else { Err(unknown) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use parlor_gateway::rest::permission::Permission;

    use super::*;

    #[test]
    fn each_name_has_a_bit_of_its_own_and_it_is_discords() {
        let bits: BTreeSet<u32> = NAMES.iter().map(|(_, bit)| *bit).collect();
        let names: BTreeSet<&str> = NAMES.iter().map(|(name, _)| *name).collect();
        assert_eq!((bits.len(), names.len()), (NAMES.len(), NAMES.len()));
        for permission in Permission::ALL {
            let set = named(&[permission.as_str().to_owned()]).expect("known");
            assert_eq!(set.bits(), permission.bit(), "{permission}");
        }
    }

    #[test]
    fn names_that_are_none_are_told() {
        let names = ["SPEAK", "speak", "FLY"].map(str::to_owned);
        assert_eq!(named(&names), Err(vec!["speak", "FLY"]));
        assert_eq!(named(&[]).map(PermissionSet::bits), Ok(0));
    }
}
