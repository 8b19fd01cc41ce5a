//! What the bot needs to be allowed on Discord (Discord docs, Topics § Permissions, bitwise permission flags).

/// A permission: its name in Discord's settings, its bit, and what Parlor does with it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Permission {
    pub(crate) name: &'static str,
    bit: u32,
}

const fn permission(name: &'static str, bit: u32) -> Permission {
    Permission { name, bit }
}

/// Passes every check.
const ADMINISTRATOR: u32 = 3;

/// What rooms and events need: to see channels and who is in them; to make and delete voice channels, which Discord allows
/// only to who may connect to them; and to find in the audit log what became of a channel whose making was not answered.
pub(crate) const NEEDED: [Permission; 4] = [
    permission("View Channels", 10),
    permission("Connect", 20),
    permission("Manage Channels", 4),
    permission("View Audit Log", 7),
];

/// What the rest of the contract needs: participants, messages and webhooks; private rooms, status lines and invites; speaking
/// in rooms and on stages.
pub(crate) const FOR_MORE: [Permission; 10] = [
    permission("Move Members", 24),
    permission("Mute Members", 22),
    permission("Deafen Members", 23),
    permission("Send Messages", 11),
    permission("Manage Webhooks", 29),
    permission("Manage Roles", 28),
    permission("Set Voice Channel Status", 48),
    permission("Create Invite", 0),
    permission("Speak", 21),
    permission("Request to Speak", 32),
];

/// The bits of an invite, as a number.
pub(crate) fn bits(permissions: &[Permission]) -> u128 {
    permissions.iter().fold(0, |bits, permission| bits | 1 << permission.bit)
}

/// The names of those that are not granted. `granted` is what roles give, as Discord computes it; the owner and an
/// administrator have everything.
pub(crate) fn missing(wanted: &[Permission], granted: u128, is_owner: bool) -> Vec<&'static str> {
    if is_owner || granted & (1 << ADMINISTRATOR) != 0 {
        return Vec::new();
    }
    wanted.iter().filter(|permission| granted & (1 << permission.bit) == 0).map(|permission| permission.name).collect()
}

/// The page on which somebody invites the bot, or gives it more (Discord docs, OAuth2 § Bot authorization flow).
pub(crate) fn invite_url(application: &str, permissions: u128) -> String {
    format!("https://discord.com/oauth2/authorize?client_id={application}&scope=bot&permissions={permissions}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bits_are_discords() {
        assert_eq!(bits(&NEEDED), 0x400 | 0x10_0000 | 0x10 | 0x80);
        let rooms = 0x1000_0000 | 0x1_0000_0000_0000 | 0x1;
        let voice = 0x20_0000 | 0x1_0000_0000;
        assert_eq!(bits(&FOR_MORE), 0x100_0000 | 0x40_0000 | 0x80_0000 | 0x800 | 0x2000_0000 | rooms | voice);
    }

    #[test]
    fn what_is_missing_is_named() {
        assert_eq!(missing(&NEEDED, 0x400 | 0x80, false), ["Connect", "Manage Channels"]);
        assert_eq!(missing(&NEEDED, 0x8, false), [""; 0], "an administrator has everything");
        assert_eq!(missing(&NEEDED, 0, true), [""; 0], "and so has the owner");
    }
}
