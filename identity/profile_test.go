package identity

import (
	"bytes"
	"errors"
	"image"
	"image/gif"
	"image/jpeg"
	"image/png"
	"strings"
	"testing"

	"kith"
)

func picture(t *testing.T, w, h int, encode func(*bytes.Buffer, image.Image) error) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := encode(&b, image.NewGray(image.Rect(0, 0, w, h))); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func asPNG(b *bytes.Buffer, m image.Image) error  { return png.Encode(b, m) }
func asJPEG(b *bytes.Buffer, m image.Image) error { return jpeg.Encode(b, m, nil) }
func asGIF(b *bytes.Buffer, m image.Image) error  { return gif.Encode(b, m, nil) }

func TestProfile(t *testing.T) {
	dir := newDir(t)
	for _, p := range []Profile{
		{Name: "Anna Łoś 安娜", Picture: picture(t, 64, 64, asPNG)},
		{Picture: picture(t, 4096, 1, asJPEG)},
		{},
	} {
		i := openAt(t, dir)
		if err := i.SetProfile(p); err != nil {
			t.Fatal(err)
		}
		got := openAt(t, dir).Profile()
		if got.Name != p.Name || !bytes.Equal(got.Picture, p.Picture) {
			t.Errorf("set %q, %d bytes; got %q, %d bytes", p.Name, len(p.Picture), got.Name, len(got.Picture))
		}
	}
	if got := (Profile{Picture: picture(t, 1, 1, asJPEG)}).MediaType(); got != "image/jpeg" {
		t.Errorf("media type %q", got)
	}
}

func TestProfileRefused(t *testing.T) {
	i := openAt(t, newDir(t))
	for name, c := range map[string]struct {
		p    Profile
		want kith.Kind
	}{
		"long name":     {Profile{Name: strings.Repeat("ü", 33)}, kith.TooLarge},
		"control":       {Profile{Name: "a\x07"}, kith.Invalid},
		"right to left": {Profile{Name: "gpj.\u202Eanna"}, kith.Invalid},
		"blanks":        {Profile{Name: " anna"}, kith.Invalid},
		"not UTF-8":     {Profile{Name: "a\xff"}, kith.Invalid},
		"empty picture": {Profile{Picture: []byte{}}, kith.Invalid},
		"HTML":          {Profile{Picture: []byte("<script>")}, kith.Invalid},
		"GIF":           {Profile{Picture: picture(t, 1, 1, asGIF)}, kith.Invalid},
		"many pixels":   {Profile{Picture: picture(t, 4097, 1, asPNG)}, kith.TooLarge},
		"many bytes":    {Profile{Picture: append(picture(t, 1, 1, asPNG), make([]byte, MaxPicture)...)}, kith.TooLarge},
	} {
		if err := i.SetProfile(c.p); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if p := i.Profile(); p.Name != "" || p.Picture != nil {
		t.Errorf("what was refused was set: %+v", p)
	}
}
