//! What a server says beside a body.

use lethe_content::ContentBuf;

/// What a response says beside its body. `Cache-Control: no-store` is always added.
#[derive(Clone, Copy, Debug, Default)]
pub struct Response<'a> {
    /// Status code.
    pub status: u16,
    /// Media type; empty for none.
    pub content_type: &'a str,
    /// `Retry-After`, in seconds.
    pub retry_after: Option<u32>,
    /// `Allow`, for 405.
    pub allow: Option<&'a str>,
    /// Further fields, such as what a gateway says of itself; names in lower case.
    pub fields: &'a [(&'static str, &'a str)],
}

impl Response<'_> {
    /// Writes the head; `framing` adds the field that tells where the body ends.
    pub(crate) fn write_head(
        self,
        out: &mut ContentBuf,
        keep_alive: bool,
        is_http10: bool,
        framing: impl FnOnce(&mut ContentBuf),
    ) {
        out.extend(b"HTTP/1.1 ");
        out.extend(self.status.to_string().as_bytes());
        out.extend(b" ");
        out.extend(reason(self.status).as_bytes());
        out.extend(b"\r\ncache-control: no-store\r\nx-content-type-options: nosniff\r\n");
        let own = [("content-type", self.content_type), ("allow", self.allow.unwrap_or_default())];
        for (name, value) in own.into_iter().chain(self.fields.iter().copied()) {
            if !value.is_empty() {
                for part in [name, ": ", value, "\r\n"] {
                    out.extend(part.as_bytes());
                }
            }
        }
        if let Some(seconds) = self.retry_after {
            out.extend(b"retry-after: ");
            out.extend(seconds.to_string().as_bytes());
            out.extend(b"\r\n");
        }
        if !keep_alive {
            out.extend(b"connection: close\r\n");
        } else if is_http10 {
            out.extend(b"connection: keep-alive\r\n");
        }
        framing(out);
        out.extend(b"\r\n");
    }
}

/// Hexadecimal digits of `number` and where they start in the array.
pub(crate) fn hexadecimal(mut number: usize) -> ([u8; 16], usize) {
    let mut digits = [0; 16];
    let mut from = digits.len();
    loop {
        from -= 1;
        digits[from] = b"0123456789abcdef"[number & 15];
        number >>= 4;
        if number == 0 || from == 0 {
            return (digits, from);
        }
    }
}

const fn reason(status: u16) -> &'static str {
    match status {
        101 => "Switching Protocols",
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        417 => "Expectation Failed",
        422 => "Unprocessable Content",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}
