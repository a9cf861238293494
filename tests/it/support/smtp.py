"""An SMTP server that keeps each mail as a file: PORT FOLDER CERT KEY USER PASSWORD."""
import asyncio
import itertools
import os
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult

port, folder, cert, key, user, password = sys.argv[1:]
numbers = itertools.count(1)


class Keep:
    async def handle_DATA(self, server, session, envelope):
        name = os.path.join(folder, "%03d.eml" % next(numbers))
        with open(name + ".part", "wb") as mail:
            mail.write(envelope.content)
        os.rename(name + ".part", name)
        return "250 kept"


def authenticate(server, session, envelope, mechanism, data):
    good = (data.login, data.password) == (user.encode(), password.encode())
    return AuthResult(success=good, handled=good)


async def main():
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(cert, key)

    def session():
        return SMTP(
            Keep(), tls_context=tls, require_starttls=True, auth_required=True, authenticator=authenticate
        )

    server = await asyncio.get_running_loop().create_server(session, "127.0.0.1", int(port))
    await server.serve_forever()


asyncio.run(main())
