//! The room page, at the port that callers use: what `make web` built, carried inside the program.
//!
//! The page is public and holds no secret; the token is the visitor's, and only the calls that the page makes carry it.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use tonic::body::Body;
use tower::{Layer, Service};

/// Path and content of every file of the page; empty where it has not been built.
const FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/page_files.rs"));

/// What stands in for a page that has not been built.
const NOT_BUILT: &[u8] = br#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>Parlor</title>
</head>
<body>
<h1>Parlor is running</h1>
<p>gRPC and grpc-web are served here. The room page is not part of this build: run <code>make web</code> (it needs
Node.js), then build parlord again.</p>
</body>
</html>
"#;

/// The file that says which others there are, under its own name after every build.
const START: &str = "/";
/// Files below it carry a digest of their content in their name (Vite's build), so their content never changes.
const ASSETS: &str = "/assets/";

const EVERY_TIME: HeaderValue = HeaderValue::from_static("no-cache");
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// The headers of every answer. The page may load its own files, call its own origin and nothing else; it never makes
/// HTML out of text ("Trusted Types"), and stands in nobody's frame.
const HEADERS: [(HeaderName, HeaderValue); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
             trusted-types 'none'",
        ),
    ),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
];

/// Answers GET and HEAD for the page's files; everything else goes on. gRPC and grpc-web know POST alone, so no call is
/// ever taken for a page.
#[derive(Clone, Copy, Debug, Default)]
pub struct PageLayer;

impl<S> Layer<S> for PageLayer {
    type Service = PageService<S>;

    fn layer(&self, inner: S) -> PageService<S> {
        PageService { inner }
    }
}

/// The service of [`PageLayer`].
#[derive(Clone, Debug)]
pub struct PageService<S> {
    inner: S,
}

impl<S, B> Service<Request<B>> for PageService<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        match answer(FILES, request.method(), request.uri().path()) {
            Some(response) => Box::pin(async move { Ok(response) }),
            None => Box::pin(self.inner.call(request)),
        }
    }
}

/// The answer to a request for one of these files; `None` where it asks for something else.
fn answer(files: &[(&str, &'static [u8])], method: &Method, path: &str) -> Option<Response<Body>> {
    if method != Method::GET && method != Method::HEAD {
        return None;
    }
    let file = files.iter().find(|(name, _)| *name == path).map(|(_, content)| *content);
    let (status, content_type, content, cache) = match file {
        Some(content) if path == START => (StatusCode::OK, content_type("html"), content, EVERY_TIME),
        Some(content) => {
            let ending = path.rsplit_once('.').map_or("", |(_, ending)| ending);
            (StatusCode::OK, content_type(ending), content, FOR_EVER)
        }
        None if path == START => (StatusCode::OK, content_type("html"), NOT_BUILT, EVERY_TIME),
        // A page of another build asks for its own files: it must not keep the answer.
        None if path.starts_with(ASSETS) => {
            (StatusCode::NOT_FOUND, content_type("txt"), b"no such file".as_slice(), EVERY_TIME)
        }
        None => return None,
    };
    let body = match *method {
        Method::HEAD => Body::empty(),
        _ => Body::new(Full::new(Bytes::from_static(content))),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers: &mut HeaderMap = response.headers_mut();
    headers.extend(HEADERS);
    headers.insert(header::CONTENT_TYPE, content_type);
    headers.insert(header::CONTENT_LENGTH, content.len().into());
    headers.insert(header::CACHE_CONTROL, cache);
    Some(response)
}

/// The media type of a file (WHATWG MIME Sniffing: a wrong one is refused under `nosniff`).
fn content_type(ending: &str) -> HeaderValue {
    HeaderValue::from_static(match ending {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    })
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http_body_util::BodyExt as _;
    use tower::{ServiceExt as _, service_fn};

    use super::*;

    const BUILT: &[(&str, &[u8])] = &[("/", b"<!doctype html>"), ("/assets/index-1a2b.js", b"run()")];

    async fn text(response: Response<Body>) -> String {
        let bytes = response.into_body().collect().await.expect("a body").to_bytes();
        String::from_utf8(bytes.to_vec()).expect("text")
    }

    fn get(path: &str) -> Response<Body> {
        answer(BUILT, &Method::GET, path).expect("the page's")
    }

    #[tokio::test]
    async fn the_start_is_asked_for_again_and_its_files_are_kept_for_ever() {
        let start = get("/");
        assert_eq!(start.headers()[header::CACHE_CONTROL], "no-cache");
        assert_eq!(start.headers()[header::CONTENT_TYPE], "text/html; charset=utf-8");
        let script = get("/assets/index-1a2b.js");
        assert_eq!(script.headers()[header::CONTENT_TYPE], "text/javascript; charset=utf-8");
        assert!(script.headers()[header::CACHE_CONTROL].to_str().expect("text").contains("immutable"));
        assert_eq!(text(script).await, "run()");
        let gone = get("/assets/index-0000.js");
        assert_eq!((gone.status(), &gone.headers()[header::CACHE_CONTROL]), (StatusCode::NOT_FOUND, &EVERY_TIME));
    }

    #[tokio::test]
    async fn head_tells_of_the_content_without_sending_it() {
        let head = answer(BUILT, &Method::HEAD, "/").expect("the page's");
        assert_eq!(head.headers()[header::CONTENT_LENGTH], "15");
        assert_eq!(text(head).await, "");
    }

    #[test]
    fn every_answer_is_hardened() {
        for path in ["/", "/assets/index-1a2b.js", "/assets/none"] {
            let response = get(path);
            let policy = response.headers()[header::CONTENT_SECURITY_POLICY].to_str().expect("text");
            assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"), "{policy}");
            assert_eq!(response.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        }
    }

    #[tokio::test]
    async fn a_page_that_is_not_built_says_how_to_build_it() {
        let start = answer(&[], &Method::GET, "/").expect("a page in its stead");
        assert_eq!(start.status(), StatusCode::OK);
        assert!(text(start).await.contains("make web"));
    }

    #[tokio::test]
    async fn what_is_not_the_pages_goes_on() {
        let inner = service_fn(|_: Request<Body>| async {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::IM_A_TEAPOT;
            Ok::<_, Infallible>(response)
        });
        let service = PageLayer.layer(inner);
        for (method, path) in [
            (Method::POST, "/"),
            (Method::POST, "/assets/index.js"),
            (Method::GET, "/parlor.v1.RoomService/GetRoom"),
            (Method::OPTIONS, "/"),
            (Method::GET, "//"),
        ] {
            let request = Request::builder().method(method.clone()).uri(path).body(Body::empty()).expect("a request");
            let response = service.clone().oneshot(request).await.expect("infallible");
            assert_eq!(response.status(), StatusCode::IM_A_TEAPOT, "{method} {path}");
        }
    }
}
