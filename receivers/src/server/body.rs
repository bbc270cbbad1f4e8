//! Reads request bodies: memory is asked for first, and nothing is copied more than once.

use std::fmt::Display;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use http_body_util::BodyExt;
use tokio::time::timeout;
use watershed_pipeline::{Budget, BudgetExceeded, Reservation};

/// What is asked for first when the length of a body is not known, in bytes.
pub(crate) const STEP: usize = 64 << 10;
/// How long a client may send nothing in the middle of a body.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// An unwanted body up to this size is read and thrown away, so that the client hears the answer (one that still
/// writes into a closed connection hears a reset instead) and the connection can be used again.
const DISCARD_MAX: u64 = 4 << 20;
/// How long that may take: the answer waits for it.
const DISCARD_TIME: Duration = Duration::from_secs(5);

/// Why a body could not be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BodyError {
    /// There is no memory for it.
    #[error(transparent)]
    Memory(#[from] BudgetExceeded),
    /// It is larger than allowed.
    #[error("the request body is larger than {limit} bytes; send smaller batches or raise the limit")]
    TooLarge {
        /// Bytes allowed.
        limit: usize,
    },
    /// The client stopped sending.
    #[error("the request body did not arrive in time")]
    Slow,
    /// The connection failed.
    #[error("the request body ended early: {0}")]
    Broken(String),
}

/// Reads a whole body of up to `limit` bytes.
pub(crate) async fn read<B>(
    body: &mut B,
    budget: &Budget,
    limit: usize,
) -> Result<(Bytes, Reservation), BodyError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Display,
{
    let hint = body.size_hint();
    let known = hint.exact().map(|length| usize::try_from(length).unwrap_or(usize::MAX));
    if usize::try_from(hint.lower()).unwrap_or(usize::MAX) > limit {
        return Err(BodyError::TooLarge { limit });
    }
    let mut reservation = budget.admit(known.unwrap_or(STEP))?;
    let Some(first) = next(body).await? else { return Ok((Bytes::new(), reservation)) };
    if first.len() > limit {
        return Err(BodyError::TooLarge { limit });
    }
    let mut frame = if body.is_end_stream() { None } else { next(body).await? };
    if frame.is_none() {
        // A body of one frame is used as it lies in the connection's buffer.
        reservation.resize(first.len())?;
        return Ok((first, reservation));
    }
    let mut whole = Vec::with_capacity(known.unwrap_or(first.len().max(STEP)));
    reservation.resize(whole.capacity())?;
    whole.extend_from_slice(&first);
    while let Some(data) = frame {
        append(&mut whole, &data, limit, &mut reservation)?;
        frame = next(body).await?;
    }
    Ok((whole.into(), reservation))
}

/// Appends data; the buffer doubles when it is full, and what it takes is what is reserved.
fn append(
    whole: &mut Vec<u8>,
    data: &[u8],
    limit: usize,
    reservation: &mut Reservation,
) -> Result<(), BodyError> {
    let length = whole.len().saturating_add(data.len());
    if length > limit {
        return Err(BodyError::TooLarge { limit });
    }
    if length > whole.capacity() {
        let capacity = whole.capacity().saturating_mul(2).min(limit).max(length);
        reservation.resize(capacity)?;
        whole.reserve_exact(capacity - whole.len());
    }
    whole.extend_from_slice(data);
    Ok(())
}

/// The next piece of data, passing over trailers; `None` at the end.
pub(crate) async fn next<B>(body: &mut B) -> Result<Option<Bytes>, BodyError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Display,
{
    loop {
        // A timer is needed only when the data is not here yet.
        let polled = poll_fn(|cx| Poll::Ready(Pin::new(&mut *body).poll_frame(cx))).await;
        let frame = match polled {
            Poll::Ready(frame) => frame,
            Poll::Pending => timeout(SILENCE_MAX, body.frame()).await.map_err(|_| BodyError::Slow)?,
        };
        match frame.transpose().map_err(|error| BodyError::Broken(error.to_string()))? {
            None => return Ok(None),
            Some(frame) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}

/// Throws away what is left of a short body of known length. Says whether nothing is left.
pub(crate) async fn discard<B>(body: &mut B) -> bool
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Display,
{
    if body.is_end_stream() {
        return true;
    }
    if body.size_hint().exact().is_none_or(|length| length > DISCARD_MAX) {
        return false;
    }
    let drained = async {
        loop {
            match next(body).await {
                Ok(Some(_)) => {}
                Ok(None) => return true,
                Err(_) => return false,
            }
        }
    };
    timeout(DISCARD_TIME, drained).await.unwrap_or(false)
}
