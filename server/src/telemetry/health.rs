//! gRPC health (grpc.health.v1), by name.

use tonic_health::{
    ServingStatus,
    pb::health_server::{Health as HealthService, HealthServer},
    server::{HealthReporter, health_reporter},
};

/// The process works. Kubernetes restarts what is not live, so this depends on nothing outside.
const LIVE: &str = "live";
/// Calls can be answered: names that are up together.
const READY: [&str; 6] = [
    "",
    "ready",
    "parlor.v1.ParticipantService",
    "parlor.v1.RoomService",
    "parlor.v1.VoiceEventService",
    "parlor.v1.WebhookService",
];
/// Discord's gateway is connected. While it is not, reads and streams go on with what was last known.
const GATEWAY: &str = "discord-gateway";
/// Discord's REST API accepts the bot token. Once it does not, nothing is sent to it until the process is started anew, and
/// every call that asks Discord fails with UPSTREAM_CREDENTIALS.
const REST: &str = "discord-rest";

/// Tells probes and load balancers how the server is. Clones tell the same.
#[derive(Clone, Debug)]
pub struct Health {
    reporter: HealthReporter,
}

impl Health {
    /// A teller and the service that answers. Every name is known and NOT_SERVING, so a watcher that comes early hears
    /// of the start instead of an error.
    pub async fn new() -> (Self, HealthServer<impl HealthService>) {
        let (reporter, service) = health_reporter();
        let health = Self { reporter };
        health.live(false).await;
        health.ready(false).await;
        health.gateway_up(false).await;
        health.rest_up(false).await;
        (health, service)
    }

    /// The process works, or not.
    pub async fn live(&self, live: bool) {
        self.set(LIVE, live).await;
    }

    /// Calls can be answered, or not.
    pub async fn ready(&self, ready: bool) {
        for name in READY {
            self.set(name, ready).await;
        }
    }

    /// Discord's gateway is connected, or not.
    pub async fn gateway_up(&self, up: bool) {
        self.set(GATEWAY, up).await;
    }

    /// Requests to Discord are sent, or not any more.
    pub async fn rest_up(&self, up: bool) {
        self.set(REST, up).await;
    }

    /// The server is going away: nothing is serving, whatever was said before.
    pub async fn draining(&self) {
        self.ready(false).await;
        self.gateway_up(false).await;
        self.rest_up(false).await;
        self.live(false).await;
    }

    async fn set(&self, name: &str, serving: bool) {
        let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
        self.reporter.set_service_status(name, status).await;
    }
}

#[cfg(test)]
mod tests {
    use tonic::Request;
    use tonic_health::pb::{
        HealthCheckRequest, health_check_response::ServingStatus as Answer, health_server::Health as _,
    };

    use super::*;

    #[tokio::test]
    async fn names_are_known_and_down_until_said_otherwise() {
        let (reporter, _) = Health::new().await;
        let service = tonic_health::server::HealthService::from_health_reporter(reporter.reporter.clone());
        let ask = async |name: &str| {
            let request = Request::new(HealthCheckRequest { service: name.to_owned() });
            service.check(request).await.map(|answer| answer.into_inner().status())
        };
        for name in READY.into_iter().chain(["live", "discord-gateway", "discord-rest"]) {
            assert_eq!(ask(name).await.expect("a known name"), Answer::NotServing, "{name}");
        }
        reporter.live(true).await;
        reporter.ready(true).await;
        assert_eq!(ask("").await.expect("a known name"), Answer::Serving);
        assert_eq!(ask("discord-gateway").await.expect("a known name"), Answer::NotServing);
        reporter.draining().await;
        assert_eq!(ask("parlor.v1.RoomService").await.expect("a known name"), Answer::NotServing);
        assert!(ask("someone.else").await.is_err());
    }
}
