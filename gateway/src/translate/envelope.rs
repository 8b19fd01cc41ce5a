//! The envelope of a gateway payload (Discord docs, events/gateway, "Payload Structure"), read in one pass.
//!
//! Discord writes `t` and `op` before `d`, so that the kind of the data is known when it comes and it is read where it
//! stands. A payload in another order is as good; its data is kept as text until the rest is read.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{Payload, Shape, TranslateError, dispatch};
use crate::update::ShardIndex;

/// Reads one payload.
pub(super) fn read(shard: ShardIndex, text: &str) -> Result<Payload, TranslateError> {
    let mut failed = None;
    let mut json = serde_json::Deserializer::from_str(text);
    let payload = json.deserialize_map(Envelope { shard, failed: &mut failed });
    let payload = payload.and_then(|payload| json.end().map(|()| payload));
    payload.map_err(|source| match failed {
        Some(event) => TranslateError::Dispatch { event, source },
        None => TranslateError::Envelope(source),
    })
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "lowercase")]
enum Key {
    Op,
    T,
    D,
    #[serde(other)]
    Other,
}

/// A string that is borrowed where the JSON has no escapes in it.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

struct Envelope<'f> {
    shard: ShardIndex,
    /// The dispatch whose data could not be read, if that is what failed.
    failed: &'f mut Option<&'static str>,
}

impl<'de> Visitor<'de> for Envelope<'_> {
    type Value = Payload;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a gateway payload")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Payload, A::Error> {
        let Self { shard, failed } = self;
        let (mut op, mut name, mut kept) = (None::<u8>, None::<Option<Name<'de>>>, None::<&RawValue>);
        let mut told = Payload::Ignored;
        while let Some(key) = map.next_key()? {
            match key {
                Key::Op => op = Some(map.next_value()?),
                Key::T => name = Some(map.next_value()?),
                Key::D => match (op, &name) {
                    (Some(0), Some(Some(Name(name)))) => {
                        told = map.next_value_seed(Data { shard, name, failed: &mut *failed })?;
                    }
                    _ => kept = Some(map.next_value()?),
                },
                Key::Other => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        let data = kept.map_or("null", RawValue::get);
        Ok(match (op.ok_or_else(|| A::Error::missing_field("op"))?, name.flatten()) {
            (0, Some(Name(name))) => {
                if kept.is_some() {
                    let mut json = serde_json::Deserializer::from_str(data);
                    told = Data { shard, name: &name, failed }.deserialize(&mut json).map_err(A::Error::custom)?;
                }
                told
            }
            (7, _) => Payload::Reconnect,
            (9, _) => Payload::InvalidSession(data == "true"),
            _ => Payload::Ignored,
        })
    }
}

/// The data of a dispatch.
struct Data<'n, 'f> {
    shard: ShardIndex,
    name: &'n str,
    failed: &'f mut Option<&'static str>,
}

impl<'de> DeserializeSeed<'de> for Data<'_, '_> {
    type Value = Payload;

    fn deserialize<D: Deserializer<'de>>(self, data: D) -> Result<Payload, D::Error> {
        dispatch(self.shard, self.name, data).map_err(|Shape { event, source }| {
            *self.failed = Some(event);
            source
        })
    }
}
