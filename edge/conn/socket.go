package conn

import "net"

// wrapped reports whether nc speaks over another connection, as TLS does.
func wrapped(nc net.Conn) bool {
	_, ok := nc.(interface{ NetConn() net.Conn })
	return ok
}

// transport is the innermost connection below nc.
func transport(nc net.Conn) net.Conn {
	for {
		w, ok := nc.(interface{ NetConn() net.Conn })
		if !ok {
			return nc
		}
		nc = w.NetConn()
	}
}

// vectored reports whether net.Buffers are written to nc in one system call.
func vectored(nc net.Conn) bool {
	switch nc.(type) {
	case *net.TCPConn, *net.UnixConn:
		return true
	}
	return false
}

// maxMany is how many slices one system call takes.
const maxMany = 1024

// tune bounds what the kernel buffers for the peer. A socket that refuses works
// with its defaults.
func tune(nc net.Conn, config *Config) {
	nc = transport(nc)
	if b, ok := nc.(interface{ SetWriteBuffer(int) error }); ok {
		_ = b.SetWriteBuffer(config.WriteBufferBytes)
	}
	if tc, ok := nc.(*net.TCPConn); ok {
		limitUnsent(tc, config.UnsentBytes)
	}
}

// cut closes the transport below nc at once: nothing is waited for, what was not
// sent is dropped, and TLS says no goodbye.
func cut(nc net.Conn) {
	nc = transport(nc)
	if tc, ok := nc.(*net.TCPConn); ok {
		_ = tc.SetLinger(0) // then it is closed the slower way
	}
	_ = nc.Close()
}
