package catalogue

import (
	"bytes"
	"encoding/json"
)

// textField returns a top-level string field of a JSON object without decoding the
// rest. It trusts nothing: bytes that are not JSON give false or some text, never
// more work than one pass. The field's own text is the only allocation unless keys
// or the text hold escapes.
func textField(payload []byte, name string) (string, bool) {
	i := skipSpace(payload, 0)
	if i >= len(payload) || payload[i] != '{' {
		return "", false
	}
	for i++; ; i++ {
		i = skipSpace(payload, i)
		keyEnd, ok := skipText(payload, i)
		if !ok {
			return "", false
		}
		found := keyIs(payload[i:keyEnd], name)
		i = skipSpace(payload, keyEnd)
		if i >= len(payload) || payload[i] != ':' {
			return "", false
		}
		i = skipSpace(payload, i+1)
		if found {
			end, ok := skipText(payload, i)
			if !ok {
				return "", false
			}
			return unquote(payload[i:end])
		}
		if i = skipValue(payload, i); i >= len(payload) || payload[i] != ',' {
			return "", false
		}
	}
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\r' || b[i] == '\n') {
		i++
	}
	return i
}

// skipText returns the index behind the string that begins at i.
func skipText(b []byte, i int) (int, bool) {
	if i >= len(b) || b[i] != '"' {
		return i, false
	}
	for i++; i < len(b); i++ {
		switch b[i] {
		case '"':
			return i + 1, true
		case '\\':
			i++
		}
	}
	return i, false
}

// skipValue returns the index of the comma or bracket behind the value that begins
// at i.
func skipValue(b []byte, i int) int {
	for depth := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			end, ok := skipText(b, i)
			if !ok {
				return len(b)
			}
			i = end - 1
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return i
			}
			depth--
		case ',':
			if depth == 0 {
				return i
			}
		}
	}
	return i
}

// keyIs reports whether a quoted key is the name.
func keyIs(quoted []byte, name string) bool {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return string(quoted[1:len(quoted)-1]) == name
	}
	key, ok := unquote(quoted)
	return ok && key == name
}

// unquote decodes a JSON string with its quotes.
func unquote(quoted []byte) (string, bool) {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return string(quoted[1 : len(quoted)-1]), true
	}
	var text string
	err := json.Unmarshal(quoted, &text)
	return text, err == nil
}
