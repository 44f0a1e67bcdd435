package identity

import (
	"bytes"
	"fmt"
	"image"
	_ "image/jpeg" // the two kinds of picture
	_ "image/png"

	"kith"
)

// Limits of a profile.
const (
	MaxName          = 64        // bytes
	MaxPicture       = 256 << 10 // bytes
	MaxPictureLength = 4096      // pixels of an edge
)

// A Profile is how contacts see a person. Picture is a PNG or JPEG file, or nil.
type Profile struct {
	Name    string
	Picture []byte
}

// Profile returns the person's profile. The caller must not change its bytes.
func (i *Identity) Profile() Profile {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.state.profile
}

// SetProfile replaces the profile. Its errors are Invalid and TooLarge.
func (i *Identity) SetProfile(p Profile) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	p.Picture = bytes.Clone(p.Picture)
	err := p.Check()
	if err == nil {
		s := i.state
		s.profile = p
		err = i.save(s)
	}
	if err != nil {
		return fmt.Errorf("identity: set profile: %w", err)
	}
	return nil
}

// MediaType returns the MIME type of the picture, or "" if there is none.
func (p Profile) MediaType() string {
	if _, format, err := image.DecodeConfig(bytes.NewReader(p.Picture)); err == nil {
		return "image/" + format
	}
	return ""
}

// Check returns what is wrong with a profile: Invalid or TooLarge, or nil.
func (p Profile) Check() error {
	switch {
	case len(p.Name) > MaxName:
		return fmt.Errorf("the name has %d bytes, at most %d: %w", len(p.Name), MaxName, kith.TooLarge)
	case p.Name != cleanName(p.Name, MaxName):
		return fmt.Errorf("the name has characters that cannot be shown, or blanks around it: %w", kith.Invalid)
	case p.Picture == nil:
		return nil
	case len(p.Picture) > MaxPicture:
		return kith.Hint(fmt.Errorf("the picture has %d bytes, at most %d: %w", len(p.Picture), MaxPicture, kith.TooLarge), "make it smaller")
	}
	c, format, err := image.DecodeConfig(bytes.NewReader(p.Picture))
	switch {
	case err != nil || format != "png" && format != "jpeg":
		return fmt.Errorf("the picture is neither PNG nor JPEG: %w", kith.Invalid)
	case c.Width < 1 || c.Height < 1 || c.Width > MaxPictureLength || c.Height > MaxPictureLength:
		return fmt.Errorf("the picture has %d × %d pixels, at most %d each way: %w", c.Width, c.Height, MaxPictureLength, kith.TooLarge)
	}
	return nil
}
