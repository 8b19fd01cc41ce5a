//! Whether the room hears what is sent, as far as Discord says. Pure.

use parlor_gateway::{RoomId, VoiceFlags};
use parlor_proto::v1::SpeechObstacle as Obstacle;

/// How the bot stands in its room.
///
/// ```text
///  into a stage's audience ─▶ Asking ─▶ Discord lets it speak: heard
///                               └─────▶ refused: Audience, until a moderator lets it speak
/// ```
///
/// It asks once for each time that it comes into a stage: a moderator who sends it to the audience has the last word.
#[derive(Debug, Default)]
pub(super) struct Footing {
    room: Option<RoomId>,
    flags: VoiceFlags,
    is_stage: bool,
    /// It is not known yet what Discord says to being asked.
    is_asking: bool,
}

impl Footing {
    /// Takes in what Discord says of the bot. Whether it is to be asked now to let the bot speak.
    pub(super) fn stands(&mut self, room: Option<RoomId>, is_stage: bool, flags: VoiceFlags) -> bool {
        let enters = room.is_some() && room != self.room;
        let asks = enters && is_stage && flags.suppress;
        self.is_asking = asks || (self.is_asking && !enters && room.is_some() && flags.suppress);
        (self.room, self.is_stage, self.flags) = (room, is_stage, flags);
        asks
    }

    /// Discord refuses to let the bot speak on this stage. Where it grants it, it says so in a state of the bot's.
    pub(super) fn refused(&mut self, stage: RoomId) {
        if self.room == Some(stage) {
            self.is_asking = false;
        }
    }

    /// Discord has forgotten where the bot was.
    pub(super) fn forgotten(&mut self) {
        *self = Self::default();
    }

    /// What keeps the bot from being heard.
    pub(super) fn obstacle(&self) -> Obstacle {
        match (self.flags.mute, self.flags.suppress, self.is_stage) {
            (_, true, true) if self.is_asking => Obstacle::AudienceAsking,
            (_, true, true) => Obstacle::Audience,
            (_, true, false) => Obstacle::SpeakPermission,
            (true, false, _) => Obstacle::Muted,
            (false, false, _) => Obstacle::Unspecified,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAGE: Option<RoomId> = Some(RoomId::new(1));
    const OTHER: Option<RoomId> = Some(RoomId::new(2));
    const HEARD: VoiceFlags = VoiceFlags {
        mute: false,
        deaf: false,
        self_mute: false,
        self_deaf: false,
        camera: false,
        stream: false,
        suppress: false,
    };
    const SUPPRESSED: VoiceFlags = VoiceFlags { suppress: true, ..HEARD };

    #[test]
    fn it_asks_once_when_it_comes_into_a_stage() {
        let mut footing = Footing::default();
        assert!(footing.stands(STAGE, true, SUPPRESSED));
        assert!(!footing.stands(STAGE, true, SUPPRESSED), "a state that comes twice");
        assert_eq!(footing.obstacle(), Obstacle::AudienceAsking);
        assert!(!footing.stands(STAGE, true, HEARD));
        assert_eq!(footing.obstacle(), Obstacle::Unspecified);
        assert!(!footing.stands(STAGE, true, SUPPRESSED), "a moderator has the last word");
        assert_eq!(footing.obstacle(), Obstacle::Audience);
        assert!(footing.stands(OTHER, true, SUPPRESSED), "another stage is another matter");
        footing.refused(RoomId::new(1));
        assert_eq!(
            footing.obstacle(),
            Obstacle::AudienceAsking,
            "an answer about the first says nothing of the second"
        );
        footing.refused(RoomId::new(2));
        assert_eq!(footing.obstacle(), Obstacle::Audience);
    }

    #[test]
    fn it_asks_again_after_it_was_away() {
        let mut footing = Footing::default();
        assert!(footing.stands(STAGE, true, SUPPRESSED));
        footing.refused(RoomId::new(1));
        footing.stands(None, false, HEARD);
        assert!(footing.stands(STAGE, true, SUPPRESSED));
        footing.forgotten();
        assert!(footing.stands(STAGE, true, SUPPRESSED));
    }

    #[test]
    fn elsewhere_it_is_told_what_is_missing_and_nobody_is_asked() {
        let mut footing = Footing::default();
        assert!(!footing.stands(STAGE, false, SUPPRESSED));
        assert_eq!(footing.obstacle(), Obstacle::SpeakPermission);
        assert!(!footing.stands(STAGE, false, VoiceFlags { mute: true, ..HEARD }));
        assert_eq!(footing.obstacle(), Obstacle::Muted);
    }
}
