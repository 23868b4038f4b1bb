package mountspace

import "testing"

func TestMountPointsAreReadAsTheKernelWritesThem(t *testing.T) {
	if got := unescape(`/a\040b\011c\012d\134e`); got != "/a b\tc\nd\\e" {
		t.Errorf("unescaped to %q", got)
	}
}

func TestAFolderHoldsItselfAndWhatIsBelow(t *testing.T) {
	for path, below := range map[string]bool{"/x": true, "/x/y": true, "/xy": false, "/": false} {
		if isBelow(path, "/x") != below {
			t.Errorf("%s below /x: %v", path, !below)
		}
	}
}
