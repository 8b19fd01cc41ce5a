//! Each rule by itself.

use super::*;

fn scheduler() -> (Scheduler, Instant) {
    (Scheduler::new(Limits::default(), 1), Instant::now())
}

/// Submits, sends and answers one request.
fn pass(scheduler: &mut Scheduler, meta: Meta, outcome: &Outcome, now: Instant) -> Then {
    let ticket = scheduler.submit(meta, now).expect("taken in");
    assert_eq!(scheduler.poll(now), Step::Send(ticket));
    scheduler.answered(ticket, outcome, now)
}

#[test]
fn one_request_finds_out_about_a_bucket() {
    let (mut scheduler, now) = scheduler();
    let tickets: Vec<_> =
        (0..4).map(|_| scheduler.submit(meta(CREATE, Resource::Guild(GUILD), "a", now), now).expect("in")).collect();
    assert_eq!(sends(&mut scheduler, now), [tickets[0]], "the bucket is not known yet");
    scheduler.answered(tickets[0], &counted(201, "abc", 4, seconds(5)), now);
    assert_eq!(sends(&mut scheduler, now), tickets[1..4], "three of the four that are left");
}

#[test]
fn an_empty_bucket_is_left_alone_until_it_is_full_again() {
    let (mut scheduler, now) = scheduler();
    let first = meta(CREATE, Resource::Guild(GUILD), "a", now);
    pass(&mut scheduler, first.clone(), &counted(201, "abc", 0, seconds(5)), now);
    let next = scheduler.submit(first, now).expect("in");
    let full = now + seconds(5) + MARGIN;
    assert_eq!(scheduler.poll(now), Step::Wait(full));
    assert_eq!(scheduler.poll(full - Duration::from_millis(1)), Step::Wait(full));
    assert_eq!(scheduler.poll(full), Step::Send(next));
    // Another resource has a bucket of its own.
    let other = scheduler.submit(meta(CREATE, Resource::Guild(GuildId::new(2)), "a", now), now).expect("in");
    assert_eq!(scheduler.poll(now), Step::Send(other));
}

#[test]
fn routes_with_one_hash_share_a_bucket() {
    let (mut scheduler, now) = scheduler();
    pass(&mut scheduler, meta(RENAME, channel(1), "a", now), &counted(200, "abc", 3, seconds(5)), now);
    pass(&mut scheduler, meta(DELETE, channel(1), "a", now), &counted(200, "abc", 0, seconds(5)), now);
    scheduler.submit(meta(RENAME, channel(1), "a", now), now).expect("in");
    assert_eq!(scheduler.poll(now), Step::Wait(now + seconds(5) + MARGIN));
}

#[test]
fn a_bucket_stays_closed_when_its_name_becomes_known() {
    let (mut scheduler, now) = scheduler();
    let first = meta(RENAME, channel(1), "a", now);
    pass(&mut scheduler, first, &limited(LimitKind::Shared, seconds(5)), now);
    let until = now + seconds(5) + MARGIN;
    assert_eq!(scheduler.poll(now), Step::Wait(until));
    // Another channel tells what the route's bucket is called.
    let other = scheduler.submit(meta(RENAME, channel(2), "a", now), now).expect("in");
    assert_eq!(scheduler.poll(now), Step::Send(other));
    scheduler.answered(other, &counted(200, "abc", 4, seconds(1)), now);
    assert_eq!(scheduler.poll(now), Step::Wait(until));
}

#[test]
fn a_wait_beyond_the_deadline_is_refused_at_once() {
    let (mut scheduler, now) = scheduler();
    let first = meta(CREATE, Resource::Guild(GUILD), "a", now);
    pass(&mut scheduler, first.clone(), &counted(201, "abc", 0, seconds(5)), now);
    let hasty = Meta { deadline: now + seconds(4), ..first };
    let Err(Unanswered::RateLimited { retry_after }) = scheduler.submit(hasty.clone(), now) else { panic!("no time") };
    assert_eq!(retry_after, seconds(5) + MARGIN);
    // With five requests a window, the eleventh has to wait for two windows more.
    let patient = Meta { deadline: now + seconds(9), ..hasty };
    for _ in 0..5 {
        scheduler.submit(patient.clone(), now).expect("in the next window");
    }
    let Err(Unanswered::RateLimited { retry_after }) = scheduler.submit(patient, now) else { panic!("no time") };
    assert_eq!(retry_after, seconds(10) + MARGIN);
}

#[test]
fn a_request_in_the_queue_is_refused_as_soon_as_its_wait_is_known() {
    let (mut scheduler, now) = scheduler();
    let patch = Meta { deadline: now + seconds(9), ..meta(RENAME, channel(1), "a", now) };
    let first = scheduler.submit(patch.clone(), now).expect("in");
    let second = scheduler.submit(patch, now).expect("in");
    assert_eq!(sends(&mut scheduler, now), [first]);
    let then = scheduler.answered(first, &limited(LimitKind::SubLimit, seconds(600)), now);
    let why = Unanswered::RateLimited { retry_after: seconds(600) + MARGIN };
    assert_eq!(then, Then::End(why));
    assert_eq!(scheduler.poll(now), Step::Refuse(second, why));
    assert_eq!(scheduler.poll(now), Step::Idle);
}

#[test]
fn a_sub_limit_stops_the_field_and_nothing_else() {
    let (mut scheduler, now) = scheduler();
    let rename = Meta { fields: BTreeSet::from([Field::Name]), ..meta(RENAME, channel(1), "a", now) };
    let then = pass(&mut scheduler, rename.clone(), &limited(LimitKind::SubLimit, seconds(600)), now);
    assert!(matches!(then, Then::End(Unanswered::RateLimited { .. })));
    assert!(matches!(scheduler.submit(rename.clone(), now), Err(Unanswered::RateLimited { .. })));
    let limit = meta(RENAME, channel(1), "a", now);
    assert_eq!(pass(&mut scheduler, limit, &answer(200), now), Then::Deliver, "another field");
    let elsewhere = Meta { resource: channel(2), lane: None, ..rename };
    assert_eq!(pass(&mut scheduler, elsewhere, &answer(200), now), Then::Deliver, "another channel");
}

#[test]
fn write_limits_stop_writes_of_the_channel_or_the_guild() {
    let (mut scheduler, now) = scheduler();
    pass(&mut scheduler, meta(RENAME, channel(1), "a", now), &limited(LimitKind::ChannelWrites, seconds(90)), now);
    assert!(scheduler.submit(meta(DELETE, channel(1), "a", now), now).is_err());
    assert_eq!(pass(&mut scheduler, meta(DELETE, channel(2), "a", now), &answer(200), now), Then::Deliver);
    pass(&mut scheduler, meta(DELETE, channel(3), "a", now), &limited(LimitKind::GuildWrites, seconds(90)), now);
    assert!(scheduler.submit(meta(DELETE, channel(4), "a", now), now).is_err());
    assert!(scheduler.submit(meta(CREATE, Resource::Guild(GUILD), "a", now), now).is_err());
    assert!(scheduler.submit(meta(READ, Resource::Guild(GUILD), "a", now), now).is_ok(), "reading is no write");
}

#[test]
fn a_global_limit_stops_everything_and_one_request_finds_out_whether_it_is_over() {
    let (mut scheduler, now) = scheduler();
    let tickets: Vec<_> =
        (1..=5).map(|id| scheduler.submit(meta(DELETE, channel(id), "a", now), now).expect("in")).collect();
    let flying = sends(&mut scheduler, now);
    assert_eq!(flying.len(), 3, "no cause may cost more");
    for ticket in flying {
        assert_eq!(scheduler.answered(ticket, &limited(LimitKind::Global, seconds(2)), now), Then::Again);
    }
    let over = now + seconds(2) + MARGIN;
    assert_eq!(scheduler.poll(now), Step::Wait(over));
    assert_eq!(sends(&mut scheduler, over), [tickets[0]], "the probe");
    scheduler.answered(tickets[0], &answer(204), over);
    assert_eq!(sends(&mut scheduler, over).len(), 3);
}

#[test]
fn a_second_429_is_the_last() {
    let (mut scheduler, now) = scheduler();
    let ticket = scheduler.submit(meta(DELETE, channel(1), "a", now), now).expect("in");
    sends(&mut scheduler, now);
    assert_eq!(scheduler.answered(ticket, &limited(LimitKind::Bucket, seconds(1)), now), Then::Again);
    let later = now + seconds(1) + MARGIN;
    assert_eq!(sends(&mut scheduler, later), [ticket]);
    let then = scheduler.answered(ticket, &limited(LimitKind::Bucket, seconds(1)), later);
    assert_eq!(then, Then::End(Unanswered::RateLimited { retry_after: seconds(1) + MARGIN }));
}

#[test]
fn cloudflare_opens_the_breaker_for_as_long_as_it_says() {
    let (mut scheduler, now) = scheduler();
    let quarter = seconds(900);
    let then = pass(&mut scheduler, meta(DELETE, channel(1), "a", now), &limited(LimitKind::Cloudflare, quarter), now);
    assert_eq!(then, Then::End(Unanswered::BreakerOpen { retry_after: quarter + MARGIN }));
    assert_eq!(scheduler.standing(now).breaker, Breaker::Open);
    let refused = scheduler.submit(meta(CREATE, Resource::Guild(GUILD), "b", now), now);
    assert_eq!(refused, Err(Unanswered::BreakerOpen { retry_after: quarter + MARGIN }));
    let over = now + quarter + MARGIN;
    assert_eq!(scheduler.standing(over).breaker, Breaker::Probing);
    assert_eq!(pass(&mut scheduler, meta(DELETE, channel(1), "a", over), &answer(204), over), Then::Deliver);
    assert_eq!(scheduler.standing(over).breaker, Breaker::Closed);
}

#[test]
fn a_401_stops_everything_for_good_unless_it_is_about_a_webhook() {
    let (mut scheduler, now) = scheduler();
    let webhook = Meta { authorized: false, ..meta(CREATE, Resource::None, "a", now) };
    assert_eq!(pass(&mut scheduler, webhook, &answer(401), now), Then::Deliver);
    let waits = scheduler.submit(meta(DELETE, channel(1), "a", now), now).expect("in");
    let other = scheduler.submit(meta(DELETE, channel(1), "a", now), now).expect("in");
    assert_eq!(sends(&mut scheduler, now), [waits]);
    assert_eq!(scheduler.answered(waits, &answer(401), now), Then::End(Unanswered::CredentialsRefused));
    assert_eq!(scheduler.poll(now), Step::Refuse(other, Unanswered::CredentialsRefused));
    let days = now + seconds(1_000_000);
    assert_eq!(scheduler.submit(meta(DELETE, channel(2), "a", days), days), Err(Unanswered::CredentialsRefused));
    assert_eq!(scheduler.standing(days).breaker, Breaker::CredentialsRefused);
}

#[test]
fn what_discord_forbade_is_not_asked_again_for_a_minute() {
    let (mut scheduler, now) = scheduler();
    let create = meta(CREATE, Resource::Guild(GUILD), "a", now);
    assert_eq!(pass(&mut scheduler, create.clone(), &answer(403), now), Then::Deliver);
    let denied = Unanswered::Denied(Denial { status: 403, code: 0 });
    assert_eq!(scheduler.submit(create.clone(), now + seconds(59)), Err(denied));
    let about = About { user: None, channel: Some(ChannelId::new(9)) };
    assert!(scheduler.submit(Meta { about, ..create.clone() }, now).is_ok(), "another category may be open");
    assert!(scheduler.submit(Meta { deadline: now + seconds(90), ..create }, now + seconds(60)).is_ok());
}

#[test]
fn a_webhook_that_is_gone_is_not_called_again() {
    let (mut scheduler, now) = scheduler();
    let execute = Meta {
        authorized: false,
        ..meta(
            Route::new(Verb::Post, "/webhooks/{webhook}/{token}"),
            Resource::Webhook(crate::id::WebhookId::new(1)),
            "a",
            now,
        )
    };
    assert_eq!(pass(&mut scheduler, execute.clone(), &answer(404), now), Then::Deliver);
    let denied = Unanswered::Denied(Denial { status: 404, code: 0 });
    assert_eq!(scheduler.submit(execute, now + seconds(50)), Err(denied));
    let channel = meta(DELETE, channel(1), "a", now);
    assert_eq!(pass(&mut scheduler, channel.clone(), &answer(404), now), Then::Deliver);
    assert!(scheduler.submit(channel, now).is_ok(), "only webhooks");
}

#[test]
fn what_discord_failed_to_serve_is_sent_again_unless_that_could_do_it_twice() {
    let (mut scheduler, now) = scheduler();
    for failure in [answer(502), Outcome::NoAnswer] {
        let post = meta(CREATE, Resource::Guild(GUILD), "a", now);
        assert_eq!(pass(&mut scheduler, post, &failure, now), Then::End(Unanswered::OutcomeUnknown));
    }
    for (verb, failure) in
        [(DELETE, answer(503)), (RENAME, Outcome::NoAnswer), (DELETE, Outcome::NotSent), (CREATE, Outcome::NotSent)]
    {
        let ticket = scheduler.submit(meta(verb, channel(1), "a", now), now).expect("in");
        let mut at = now;
        for _ in 0..2 {
            assert_eq!(scheduler.poll(at), Step::Send(ticket));
            assert_eq!(scheduler.answered(ticket, &failure, at), Then::Again);
            let Step::Wait(later) = scheduler.poll(at) else { panic!("a pause") };
            assert!((Duration::from_millis(200)..=seconds(5)).contains(&(later - at)), "{:?}", later - at);
            at = later;
        }
        assert_eq!(scheduler.poll(at), Step::Send(ticket));
        assert_eq!(scheduler.answered(ticket, &failure, at), Then::End(Unanswered::Unavailable));
    }
}

#[test]
fn a_failure_that_names_a_wait_is_obeyed() {
    let (mut scheduler, now) = scheduler();
    let ticket = scheduler.submit(meta(DELETE, channel(1), "a", now), now).expect("in");
    assert_eq!(scheduler.poll(now), Step::Send(ticket));
    let busy = Heard { status: 503, code: 0, bucket: None, limited: None, retry_after: Some(seconds(30)) };
    assert_eq!(scheduler.answered(ticket, &Outcome::Answered(busy), now), Then::Again);
    assert_eq!(scheduler.poll(now), Step::Wait(now + seconds(30) + MARGIN));
}

#[test]
fn a_lane_keeps_its_order_across_repeats_and_lends_its_urgency() {
    let (mut scheduler, now) = scheduler();
    let rename = scheduler.submit(meta(RENAME, channel(1), "a", now), now).expect("in");
    let end = scheduler.submit(meta(DELETE, channel(1), "a", now), now).expect("in");
    let other = scheduler.submit(meta(RENAME, channel(2), "a", now), now).expect("in");
    assert_eq!(sends(&mut scheduler, now), [rename, other]);
    assert_eq!(scheduler.answered(rename, &answer(502), now), Then::Again);
    let Step::Wait(again) = scheduler.poll(now) else { panic!("a pause") };
    assert_eq!(sends(&mut scheduler, again), [rename], "before what came after it");
    assert_eq!(scheduler.answered(rename, &answer(200), again), Then::Deliver);
    assert_eq!(sends(&mut scheduler, again), [end]);
}

#[test]
fn the_more_urgent_goes_first_and_age_makes_equal() {
    let limits = Limits { unanswered: 1, ..Limits::default() };
    let (mut scheduler, now) = (Scheduler::new(limits, 1), Instant::now());
    let sweep = Meta { urgency: Urgency::Sweep, ..meta(READ, Resource::Guild(GUILD), "a", now) };
    let sweep = scheduler.submit(sweep, now).expect("in");
    let read = scheduler.submit(meta(READ, Resource::Guild(GuildId::new(2)), "a", now), now).expect("in");
    let change = scheduler.submit(meta(RENAME, channel(1), "a", now), now).expect("in");
    let end = scheduler.submit(meta(DELETE, channel(2), "a", now), now).expect("in");
    for expected in [end, change] {
        assert_eq!(sends(&mut scheduler, now), [expected]);
        scheduler.answered(expected, &answer(200), now);
    }
    let late = now + seconds(6);
    scheduler.submit(meta(DELETE, channel(3), "a", late), late).expect("in");
    assert_eq!(sends(&mut scheduler, late), [sweep], "it has waited for as long as makes it urgent");
    scheduler.answered(sweep, &answer(200), late);
    assert_eq!(sends(&mut scheduler, late), [read]);
}

#[test]
fn no_more_than_so_many_in_any_second() {
    let limits = Limits { per_second: 5, unanswered: 100, ..Limits::default() };
    let (mut scheduler, now) = (Scheduler::new(limits, 1), Instant::now());
    for id in 0..12 {
        scheduler.submit(meta(DELETE, channel(id), "a", now), now).expect("in");
    }
    assert_eq!(sends(&mut scheduler, now).len(), 5);
    assert_eq!(scheduler.poll(now), Step::Wait(now + seconds(1)));
    assert_eq!(sends(&mut scheduler, now + Duration::from_millis(999)).len(), 0);
    assert_eq!(sends(&mut scheduler, now + seconds(1)).len(), 5);
}

#[test]
fn an_answer_that_does_not_come_keeps_others_for_a_second_only() {
    let (mut scheduler, now) = scheduler();
    for id in 0..20 {
        scheduler.submit(meta(DELETE, channel(id), "a", now), now).expect("in");
    }
    assert_eq!(sends(&mut scheduler, now).len(), 3);
    assert_eq!(scheduler.poll(now), Step::Wait(now + seconds(1)));
    let mut at = now;
    for expected in [3, 3, 3, 3, 1] {
        at += seconds(1);
        assert_eq!(sends(&mut scheduler, at).len(), expected, "sixteen in all");
    }
}

#[test]
fn too_many_invalid_requests_stop_first_what_is_not_essential_and_then_everything() {
    let invalid = InvalidRequestLimits { warn: 1, shed: 2, stop: 4 };
    let (mut scheduler, now) = (Scheduler::new(Limits { invalid, ..Limits::default() }, 1), Instant::now());
    for id in 1..=4 {
        assert_eq!(scheduler.standing(now).invalid, u32::try_from(id - 1).expect("small"));
        pass(&mut scheduler, meta(DELETE, channel(id), "a", now), &answer(403), now);
        let read = scheduler.submit(meta(READ, Resource::Guild(GUILD), "a", now), now);
        assert_eq!(matches!(read, Err(Unanswered::BreakerOpen { .. })), id >= 2, "after {id}");
        if let Ok(read) = read {
            scheduler.cancel(read);
        }
    }
    assert_eq!(scheduler.standing(now).breaker, Breaker::Open);
    let refused = scheduler.submit(meta(DELETE, channel(9), "a", now), now);
    let Err(Unanswered::BreakerOpen { retry_after }) = refused else { panic!("{refused:?}") };
    let later = now + retry_after;
    assert!(scheduler.submit(meta(DELETE, channel(9), "a", later), later).is_ok());
}

#[test]
fn a_shared_limit_is_nobodys_fault() {
    let (mut scheduler, now) = scheduler();
    let then = pass(&mut scheduler, meta(DELETE, channel(1), "a", now), &limited(LimitKind::Shared, seconds(5)), now);
    assert_eq!((then, scheduler.standing(now).invalid), (Then::Again, 0));
    assert_eq!(scheduler.poll(now), Step::Wait(now + seconds(5) + MARGIN));
}

#[test]
fn a_caller_who_left_is_not_waited_for() {
    let (mut scheduler, now) = scheduler();
    let flies = scheduler.submit(meta(DELETE, channel(1), "a", now), now).expect("in");
    let waits = scheduler.submit(meta(DELETE, channel(1), "a", now), now).expect("in");
    let next = scheduler.submit(meta(DELETE, channel(1), "a", now), now).expect("in");
    assert_eq!(sends(&mut scheduler, now), [flies]);
    scheduler.cancel(waits);
    scheduler.cancel(flies);
    assert_eq!(sends(&mut scheduler, now), [], "its answer is still to come");
    assert_eq!(scheduler.answered(flies, &answer(503), now), Then::End(Unanswered::Unavailable), "not sent again");
    assert_eq!(sends(&mut scheduler, now), [next]);
}

#[test]
fn the_queue_has_an_end_for_each_and_for_all() {
    let limits = Limits { queue: 5, queue_per_tenant: 3, ..Limits::default() };
    let (mut scheduler, now) = (Scheduler::new(limits, 1), Instant::now());
    for (tenant, taken) in [("a", true), ("a", true), ("a", true), ("a", false), ("b", true), ("b", true), ("b", false)]
    {
        let submitted = scheduler.submit(meta(DELETE, channel(1), tenant, now), now);
        assert_eq!(submitted.is_ok(), taken, "{tenant}");
        if let Err(why) = submitted {
            assert!(matches!(why, Unanswered::RateLimited { .. }), "{why:?}");
        }
    }
    assert_eq!(scheduler.standing(now).waiting, 5);
}

#[test]
fn who_is_overtaken_hears_at_once_that_there_is_no_time() {
    let (mut scheduler, now) = scheduler();
    let create = |tenant, deadline| Meta {
        deadline: now + seconds(deadline),
        ..meta(CREATE, Resource::Guild(GUILD), tenant, now)
    };
    pass(&mut scheduler, create("a", 60), &Outcome::Answered(of_one("abc", 0)), now);
    let waits = scheduler.submit(create("a", 8), now).expect("in the next window");
    assert!(matches!(scheduler.poll(now), Step::Wait(_)), "there is time");
    scheduler.submit(create("b", 60), now).expect("whose turn is before");
    let Step::Refuse(ticket, Unanswered::RateLimited { retry_after }) = scheduler.poll(now) else { panic!("no time") };
    assert_eq!(ticket, waits);
    assert_eq!(retry_after, seconds(10) + MARGIN, "the window after the next");
}

#[test]
fn who_waits_for_a_bucket_that_is_smaller_than_was_hoped_hears_at_once() {
    let (mut scheduler, now) = scheduler();
    let create = Meta { deadline: now + seconds(8), ..meta(CREATE, Resource::Guild(GUILD), "a", now) };
    let tickets: Vec<_> = (0..10).map(|_| scheduler.submit(create.clone(), now).expect("nothing is known")).collect();
    assert_eq!(sends(&mut scheduler, now), tickets[..1]);
    let later = now + Duration::from_millis(50);
    let two = Heard { bucket: Some(BucketNews { limit: 2, ..news("abc", 1) }), ..of_one("abc", 1) };
    scheduler.answered(tickets[0], &Outcome::Answered(two), later);
    // One that is left of this window, and two of the next.
    let mut refused = Vec::new();
    while let Step::Refuse(ticket, why) = scheduler.poll(later) {
        assert!(matches!(why, Unanswered::RateLimited { retry_after } if retry_after >= seconds(9)), "{why:?}");
        refused.push(ticket);
    }
    assert_eq!(refused, tickets[4..]);
}

#[test]
fn whose_turn_did_not_come_is_limited_and_whom_discord_failed_is_not() {
    let (mut scheduler, now) = scheduler();
    let create = |deadline| Meta { deadline: now + deadline, ..meta(CREATE, Resource::Guild(GUILD), "a", now) };
    let first = scheduler.submit(create(seconds(60)), now).expect("in");
    let hasty = scheduler.submit(create(Duration::from_millis(500)), now).expect("in");
    assert_eq!(sends(&mut scheduler, now), [first], "one finds out about the bucket");
    let late = now + Duration::from_millis(500);
    let Step::Refuse(ticket, Unanswered::RateLimited { retry_after }) = scheduler.poll(late) else { panic!("late") };
    assert_eq!((ticket, retry_after), (hasty, seconds(1)));
    let broken = scheduler.submit(meta(DELETE, channel(1), "a", late), late).expect("in");
    assert_eq!(sends(&mut scheduler, late), [broken]);
    assert_eq!(scheduler.answered(broken, &Outcome::NotSent, late), Then::Again);
    scheduler.cancel(first);
    let over = late + seconds(60);
    assert_eq!(scheduler.poll(over), Step::Refuse(broken, Unanswered::Unavailable));
}

/// A bucket of one request in five seconds.
fn news(hash: &str, remaining: u32) -> BucketNews {
    BucketNews { hash: hash.to_owned(), limit: 1, remaining, reset_after: seconds(5) }
}

fn of_one(hash: &str, remaining: u32) -> Heard {
    Heard { status: 201, code: 0, bucket: Some(news(hash, remaining)), limited: None, retry_after: None }
}

#[test]
fn nothing_is_sent_at_its_deadline() {
    let (mut scheduler, now) = scheduler();
    let first = scheduler.submit(meta(DELETE, channel(1), "a", now), now).expect("in");
    let hasty = Meta { deadline: now + seconds(3), ..meta(DELETE, channel(1), "a", now) };
    let hasty = scheduler.submit(hasty, now).expect("in");
    assert_eq!(sends(&mut scheduler, now), [first]);
    assert_eq!(scheduler.poll(now + seconds(2)), Step::Wait(now + seconds(3)));
    assert_eq!(scheduler.poll(now + seconds(3)), Step::Refuse(hasty, Unanswered::Unavailable));
}
