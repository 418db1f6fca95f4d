//! Forms with a file (`multipart/form-data`), from a page of the session. The largest is read to its end though it is refused:
//! a browser shows no answer to what it is still sending.

use std::convert::Infallible;

use axum::{
    body::{Body, Bytes},
    extract::{FromRequest, Request},
    http::{HeaderMap, header},
    response::{IntoResponse as _, Response},
};
use http_body_util::BodyExt as _;

use super::{
    error::Failure,
    session::{Sender, SignedIn},
};
use crate::app::App;

/// Largest form, in bytes: a file of [`FILE`] bytes, which the second step sends as base64, and its other fields.
const FORM: usize = FILE / 3 * 4 + (64 << 10);
/// Largest file, in bytes.
pub(super) const FILE: usize = 4 << 20;
/// Most fields of a form.
const FIELDS: usize = 20;

/// A form with a file.
#[derive(Debug)]
pub(super) struct Upload {
    pub(super) signed_in: SignedIn,
    fields: Vec<Part>,
    /// It was larger than any that is taken; then it has no fields.
    pub(super) is_too_large: bool,
}

/// A field of a form.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    name: String,
    /// The name of its file, if it is one.
    file: Option<String>,
    content: Bytes,
}

impl Upload {
    /// The content of a field, and the name of its file.
    pub(super) fn field(&self, name: &str) -> Option<(&Bytes, Option<&str>)> {
        let found = self.fields.iter().find(|part| part.name == name)?;
        Some((&found.content, found.file.as_deref()))
    }

    /// The value of a field, without whitespace around it.
    pub(super) fn text(&self, name: &str) -> &str {
        let found = self.field(name).map(|(content, _)| content);
        let text = found.and_then(|content| std::str::from_utf8(content).ok());
        text.unwrap_or_default().trim()
    }
}

impl FromRequest<App> for Upload {
    type Rejection = Response;

    async fn from_request(request: Request, app: &App) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let sender = Sender::of(&mut parts, app).await?;
        let no_form = || Failure::invalid("only forms of the dashboard are accepted here");
        let boundary = boundary(&parts.headers).ok_or_else(|| no_form().into_response())?;
        let Some(body) = whole(body).await? else {
            // Nothing of it is believed, so it needs no proof of where it comes from.
            return Ok(Self {
                signed_in: sender.unproven(),
                fields: Vec::new(),
                is_too_large: true,
            });
        };
        let fields = parse(body, &boundary)
            .await
            .ok_or_else(|| no_form().into_response())?;
        let token = fields.iter().find(|part| part.name == "csrf");
        let token = token.and_then(|part| std::str::from_utf8(&part.content).ok());
        Ok(Self {
            signed_in: sender
                .with(token.unwrap_or_default())
                .map_err(Failure::into_response)?,
            fields,
            is_too_large: false,
        })
    }
}

/// A body; none if it is too large.
async fn whole(mut body: Body) -> Result<Option<Bytes>, Response> {
    let mut read = Vec::new();
    let mut is_too_large = false;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            // Either it is larger than anything that is read here, or it did not arrive.
            return Err(Failure::too_large().into_response());
        };
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if is_too_large || read.len() + data.len() > FORM {
            is_too_large = true;
            read = Vec::new();
        } else {
            read.extend_from_slice(&data);
        }
    }
    Ok((!is_too_large).then(|| read.into()))
}

/// What separates the fields.
fn boundary(headers: &HeaderMap) -> Option<String> {
    let kind = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let boundary = multer::parse_boundary(kind).ok()?;
    // As RFC 2046 has it.
    (1..=70).contains(&boundary.len()).then_some(boundary)
}

/// The fields of a form; none if it is none.
async fn parse(body: Bytes, boundary: &str) -> Option<Vec<Part>> {
    let whole = futures::stream::iter([Ok::<_, Infallible>(body)]);
    let mut form = multer::Multipart::new(whole, boundary);
    let mut fields = Vec::new();
    while let Some(field) = form.next_field().await.ok()? {
        if fields.len() == FIELDS {
            return None;
        }
        fields.push(Part {
            name: field.name()?.to_owned(),
            file: field.file_name().map(str::to_owned),
            content: field.bytes().await.ok()?,
        });
    }
    Some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(text: &str) -> Bytes {
        Bytes::copy_from_slice(text.as_bytes())
    }

    #[tokio::test]
    async fn fields_are_read_to_the_byte() {
        let content = "a,b\r\n--almost\r\n\r\n--b-not\n";
        let form = format!(
            "--b1\r\nContent-Disposition: form-data; name=\"csrf\"\r\n\r\nx\r\n--b1\r\n\
             content-disposition: form-data; name=\"file\"; filename=\"a %22b.csv\"\r\nContent-Type: text/csv\r\n\r\n\
             {content}\r\n--b1\r\nContent-Disposition: form-data; name=\"empty\"; filename=\"\"\r\n\r\n\r\n--b1--\r\n"
        );
        let fields = parse(body(&form), "b1").await.unwrap();
        let all: Vec<_> = fields
            .iter()
            .map(|part| (part.name.as_str(), part.file.as_deref(), &part.content[..]))
            .collect();
        assert_eq!(
            all,
            [
                ("csrf", None, &b"x"[..]),
                ("file", Some("a %22b.csv"), content.as_bytes()),
                ("empty", Some(""), b""),
            ]
        );
        assert_eq!(parse(body("--b1--"), "b1").await, Some(Vec::new()));
    }

    #[tokio::test]
    async fn what_is_no_form_or_only_a_part_of_one_is_none() {
        let whole = "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nx\r\n--b--";
        assert!(parse(body(whole), "b").await.is_some());
        for end in 0..whole.len() {
            assert_eq!(parse(body(&whole[..end]), "b").await, None, "{end}");
        }
        for form in [
            "",
            "--",
            "--other--",
            "--b\r\n\r\nx\r\n--b--",
            "--bx\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nx\r\n--b--",
        ] {
            assert_eq!(parse(body(form), "b").await, None, "{form}");
        }
        let many =
            "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nx\r\n".repeat(FIELDS + 1);
        assert_eq!(parse(body(&format!("{many}--b--")), "b").await, None);
    }

    #[test]
    fn a_boundary_is_that_of_the_header() {
        let of = |kind: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, kind.parse().unwrap());
            boundary(&headers)
        };
        assert_eq!(
            of("multipart/form-data; boundary=abc").as_deref(),
            Some("abc")
        );
        assert_eq!(
            of("Multipart/Form-Data; charset=utf-8; boundary=\"a b\"").as_deref(),
            Some("a b")
        );
        for kind in [
            "multipart/form-data",
            "multipart/mixed; boundary=abc",
            "application/x-www-form-urlencoded; boundary=a",
            "multipart/form-data; boundary=",
        ] {
            assert_eq!(of(kind), None, "{kind}");
        }
    }
}
