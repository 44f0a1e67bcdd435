// Kubo, for tests against it; .ci/install builds it from here.
module kubo

go 1.26

require github.com/ipfs/kubo v0.43.0
