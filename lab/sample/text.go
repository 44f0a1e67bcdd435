package sample

import (
	"math/rand/v2"
	"os"
	"path/filepath"
)

// told are tales that are older than any copyright, told anew.
var told = map[string]string{
	"The stone soup.txt": `A traveller came to a village where every door was shut. "There is nothing to eat here," they said,
each behind their own door. "Then I shall make soup of a stone," said the traveller, and put a pot on a
fire in the square, and a stone in the pot.

One neighbour came to look. "It is nearly good," said the traveller. "A carrot would round it off." There
was a carrot, as it happened. Another had an onion; a third, some barley; a fourth, salt. By evening the
pot was full, and so was the village, and nobody could say any more whose soup it was.

The traveller left the stone behind. It is still there. It works every time.
`,
	"The wind and the sun.txt": `The wind and the sun could not agree which of them was the stronger. A woman came along the road in her
cloak. "Whoever takes it off her," said the sun.

The wind blew, and she held the cloak tight; it blew harder, and she held it tighter. Then the sun came out
and shone, and did nothing else. She walked a while, and loosened the cloak, and took it off, and sat down
under a tree with it for a pillow.
`,
	"The crow and the jug.txt": `A crow that was very thirsty found a jug with a little water at the bottom, too deep for any beak. She
tried to tip it: too heavy. She thought about it.

Then she fetched a pebble and dropped it in, and another, and another. Every pebble was too small to
matter. The water rose all the same.
`,
	"The bundle of sticks.txt": `An old man gave each of his children a stick and said: "Break it." That was easily done. Then he tied as
many sticks together and said: "Now this." Nobody could, not the strongest of them.

"That is all I have to leave you," he said. "It is light, and you can carry it anywhere."
`,
	"The ant and the dove.txt": `An ant fell into the brook. A dove on a branch above broke off a leaf and let it fall, and the ant climbed
on it and drifted to the bank.

Another day a hunter crept up beneath that branch. He had drawn his bow when something bit his heel, no more
than a pinprick; but the arrow went wide, and the dove was gone. Nobody is too small to be worth a leaf.
`,
}

// fables makes a folder of tales with a picture on the cover.
func fables(dir string, r *rand.Rand, again string) (string, error) {
	name := "Five old tales" + again
	if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
		return "", err
	}
	for title, text := range told {
		if err := os.WriteFile(filepath.Join(dir, name, title), []byte(text), 0o644); err != nil {
			return "", err
		}
	}
	return name, savePNG(filepath.Join(dir, name, "Cover.png"), landscape(r, moods[r.IntN(len(moods))], 800, 600))
}
