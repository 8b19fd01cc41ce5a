//! Several rooms in one call: each item ends by itself, and all of them are told of in the order of the request.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use parlor_proto::v1::{self, batch_create_rooms_result, batch_end_rooms_result};
use uuid::Uuid;

use super::{Rooms, item_id};
use crate::{
    auth::{CreateRoom, EndRoom, Principal},
    rates::Patience,
    services::fields::Fields,
    status::Failure,
};

/// How long a batch may take where the caller does not say.
pub(super) const CALL: Duration = Duration::from_secs(60);

/// How many items a batch has at most.
const MOST: usize = 25;

impl Rooms {
    pub(super) async fn create_batch(
        &self,
        principal: &Principal,
        request: v1::BatchCreateRoomsRequest,
        deadline: Instant,
    ) -> Result<v1::BatchCreateRoomsResponse, Failure> {
        principal.covered::<CreateRoom>()?;
        let id = batch_id(&request.request_id, request.requests.len())?;
        let items = request.requests.into_iter().enumerate().map(async |(index, item)| {
            let item = v1::CreateRoomRequest { request_id: item_id(&item.request_id, id, index), ..item };
            let outcome = match self.create_one(principal, item, deadline, Patience::Until(deadline)).await {
                Ok(created) => batch_create_rooms_result::Outcome::Created(created),
                Err(failure) => batch_create_rooms_result::Outcome::Failure(failure.into_item()),
            };
            v1::BatchCreateRoomsResult { outcome: Some(outcome) }
        });
        Ok(v1::BatchCreateRoomsResponse { results: join_all(items).await, request_id: id.to_string() })
    }

    pub(super) async fn end_batch(
        &self,
        principal: &Principal,
        request: v1::BatchEndRoomsRequest,
        deadline: Instant,
    ) -> Result<v1::BatchEndRoomsResponse, Failure> {
        principal.covered::<EndRoom>()?;
        let id = batch_id(&request.request_id, request.requests.len())?;
        let items = request.requests.into_iter().enumerate().map(async |(index, item)| {
            let item = v1::EndRoomRequest { request_id: item_id(&item.request_id, id, index), ..item };
            let outcome = match self.end_one(principal, item, deadline, Patience::Until(deadline)).await {
                Ok(ended) => batch_end_rooms_result::Outcome::Ended(ended),
                Err(failure) => batch_end_rooms_result::Outcome::Failure(failure.into_item()),
            };
            v1::BatchEndRoomsResult { outcome: Some(outcome) }
        });
        Ok(v1::BatchEndRoomsResponse { results: join_all(items).await, request_id: id.to_string() })
    }
}

fn batch_id(id: &str, items: usize) -> Result<Uuid, Failure> {
    let mut fields = Fields::default();
    let id = fields.request_id(id);
    if !(1..=MOST).contains(&items) {
        fields.wrong("requests", format!("holds {items} items; a batch has 1 to {MOST}"));
    }
    fields.finish()?;
    Ok(id)
}
