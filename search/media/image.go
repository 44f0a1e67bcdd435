package media

import (
	"strings"
	"time"

	"github.com/bep/imagemeta"

	"kith/search/fact"
)

// What is read of EXIF. Nothing of GPS is, nor of XMP and IPTC, which have places too.
var exifNames = map[string]bool{"Make": true, "Model": true, "DateTimeOriginal": true, "Orientation": true}

// readImage reads the size of a picture and, of EXIF, the day when it was taken and the camera.
func readImage(f *file, facts *fact.Facts) {
	format, ok := map[string]imagemeta.ImageFormat{"JPEG": imagemeta.JPEG, "PNG": imagemeta.PNG, "WebP": imagemeta.WebP, "TIFF": imagemeta.TIFF, "HEIF": imagemeta.HEIF, "AVIF": imagemeta.AVIF}[facts.Format]
	if !ok {
		return
	}
	var maker, model string
	turned := false
	result, _ := imagemeta.Decode(imagemeta.Options{ // what it found before an error is good
		R: f.reader(), ImageFormat: format, Sources: imagemeta.EXIF | imagemeta.CONFIG, LimitNumTags: 1000, LimitTagSize: maxValue,
		ShouldHandleTag: func(t imagemeta.TagInfo) bool {
			return t.Source == imagemeta.EXIF && exifNames[t.Tag] && strings.HasPrefix(t.Namespace, "IFD0") && !strings.Contains(t.Namespace, "GPS")
		},
		HandleTag: func(t imagemeta.TagInfo) error {
			switch v := t.Value.(type) {
			case string:
				switch t.Tag {
				case "Make":
					maker = v
				case "Model":
					model = v
				case "DateTimeOriginal":
					if day, err := time.Parse("2006:01:02", v[:min(len(v), 10)]); err == nil {
						facts.Taken, facts.Year = day.Format(time.DateOnly), day.Year()
					}
				}
			case uint16:
				turned = t.Tag == "Orientation" && v >= 5 && v <= 8
			}
			return nil
		},
	})
	facts.Width, facts.Height = result.ImageConfig.Width, result.ImageConfig.Height
	if turned {
		facts.Width, facts.Height = facts.Height, facts.Width
	}
	if first, _, _ := strings.Cut(strings.TrimSpace(maker), " "); first != "" && !strings.HasPrefix(strings.ToLower(model), strings.ToLower(first)) {
		model = first + " " + model
	}
	facts.Camera = model
}
