//! How inputs with several parts are written.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};

/// A line that stands between two requests of one input.
const NEXT: &[u8] = b"\n%%\n";

/// Bytes as text: what is not UTF-8 becomes U+FFFD, as a websocket library would refuse it before the parser.
pub fn text(data: &[u8]) -> String {
    String::from_utf8_lossy(data).into_owned()
}

/// A second reading of JSON that a parser has accepted. A parser that skips what it does not need also skips what is wrong
/// there: bytes that are not UTF-8 become U+FFFD here, and where it is something else that is wrong there is no second
/// reading.
pub fn json(data: &[u8]) -> Option<serde_json::Value> {
    serde_json::from_str(&text(data)).ok()
}

/// HTTP requests, one after the other, with `%%` on a line of its own between them. Each is
///
/// ```text
/// POST /path?query
/// header: value
///
/// body
/// ```
///
/// What is no method, target or header is left out, as an HTTP library refuses it before a handler.
pub fn requests(data: &[u8]) -> impl Iterator<Item = Request<Vec<u8>>> {
    parts(data).filter_map(request)
}

/// HTTP answers, one after the other, with `%%` on a line of its own between them: a status, headers and a body. What has
/// no status is left out.
pub fn answers(data: &[u8]) -> impl Iterator<Item = (u16, HeaderMap, &[u8])> {
    parts(data).filter_map(|part| {
        let (head, body) = message(part);
        let (status, headers) = head.split_once('\n').unwrap_or((&head, ""));
        let status = status.trim().parse().ok().filter(|status| (200..600).contains(status))?;
        Some((status, header_lines(headers), body))
    })
}

fn parts(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(data);
    std::iter::from_fn(move || {
        let (one, others) = match cut(rest?, NEXT) {
            Some((one, others)) => (one, Some(others)),
            None => (rest?, None),
        };
        rest = others;
        Some(one)
    })
}

fn request(data: &[u8]) -> Option<Request<Vec<u8>>> {
    let (head, body) = message(data);
    let (first, headers) = head.split_once('\n').unwrap_or((&head, ""));
    let (method, target) = first.split_once(' ')?;
    let mut request = Request::new(body.to_vec());
    *request.method_mut() = Method::from_bytes(method.as_bytes()).ok()?;
    *request.uri_mut() = target.parse::<Uri>().ok().filter(|uri| uri.path().starts_with('/'))?;
    *request.headers_mut() = header_lines(headers);
    Some(request)
}

/// A head in lines and, after an empty line, a body.
pub fn message(data: &[u8]) -> (String, &[u8]) {
    let (head, body) = cut(data, b"\n\n").unwrap_or((data, &[]));
    (text(head), body)
}

/// Lines of `name: value`; what is no header is left out.
pub fn header_lines(lines: &str) -> HeaderMap {
    let header = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_bytes(value.trim().as_bytes()).ok()?))
    };
    lines.lines().take(64).filter_map(header).collect()
}

fn cut<'a>(data: &'a [u8], between: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = data.windows(between.len()).position(|window| window == between)?;
    Some((&data[..at], &data[at + between.len()..]))
}
