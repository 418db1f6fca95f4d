//! A picture as PNG, with the one font that the program has with it.

use std::sync::{Arc, LazyLock};

use resvg::{
    tiny_skia::{Pixmap, Transform},
    usvg::{Options, Tree, fontdb::Database},
};
use tokio::sync::Semaphore;

use crate::error::{Error, Result};

/// Most pictures that are rendered at the same time: each takes a core.
static RENDERERS: Semaphore = Semaphore::const_new(2);
/// Pixels of each of the picture's, while it is no higher than this.
const SHARP: f32 = 2.0;
const HIGH: f32 = 1600.0;
/// A picture that is higher is not rendered.
const HIGHEST: f32 = 6000.0;

/// Hack, by its name in every family that a picture asks for.
static FONTS: LazyLock<Arc<Database>> = LazyLock::new(|| {
    let mut fonts = Database::new();
    fonts.load_font_data(epaint_default_fonts::HACK_REGULAR.to_vec());
    fonts.set_monospace_family("Hack");
    fonts.set_sans_serif_family("Hack");
    Arc::new(fonts)
});

/// Renders a picture beside the server's other work, and no more than a few of them at a time.
///
/// # Errors
/// If it can't be rendered, which is a bug.
pub async fn png(svg: String) -> Result<Vec<u8>> {
    let turn = RENDERERS.acquire().await.map_err(|_| Error::Overloaded)?;
    let work = tokio::task::spawn_blocking(move || {
        let rendered = render(&svg);
        // Only now, even if nobody waits for it any more.
        drop(turn);
        rendered
    });
    let rendered = work.await.map_err(|error| Error::Internal(error.into()))?;
    rendered.map_err(|why| Error::Internal(why.into()))
}

fn render(svg: &str) -> Result<Vec<u8>, String> {
    let options = Options {
        fontdb: Arc::clone(&FONTS),
        font_family: "Hack".to_owned(),
        ..Options::default()
    };
    let tree = Tree::from_str(svg, &options).map_err(|error| error.to_string())?;
    let (width, height) = (tree.size().width(), tree.size().height());
    if height > HIGHEST {
        return Err(format!("a picture of a height of {height}"));
    }
    let zoom = if height > HIGH { 1.0 } else { SHARP };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "bounded above"
    )]
    let (across, down) = ((width * zoom) as u32, (height * zoom) as u32);
    let mut pixels = Pixmap::new(across, down).ok_or("a picture of no size")?;
    resvg::render(
        &tree,
        Transform::from_scale(zoom, zoom),
        &mut pixels.as_mut(),
    );
    pixels.encode_png().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn text_is_drawn_with_the_font_of_the_program() {
        let page = |text: &str| {
            format!(
                "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"80\" height=\"20\"><text y=\"15\" \
                 font-family=\"Nobody,sans-serif\">{text}</text></svg>"
            )
        };
        let empty = png(page("")).await.unwrap();
        let written = png(page("ipam")).await.unwrap();
        assert!(written.starts_with(b"\x89PNG\r\n\x1a\n"));
        assert_eq!(written[16..24], [0, 0, 0, 160, 0, 0, 0, 40]);
        assert_ne!(empty, written);
        assert!(png("<svg".to_owned()).await.is_err());
    }
}
