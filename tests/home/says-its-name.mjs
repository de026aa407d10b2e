// Answers multicast questions for the name behind one address (mDNS, RFC 6762), as a phone does.
//   node says-its-name.mjs NAME ADDRESS

import dgram from "node:dgram";

const [name, address] = process.argv.slice(2);
const reverse = `${address.split(".").reverse().join(".")}.in-addr.arpa`;

const wire = (name) =>
  Buffer.concat([...name.split(".").map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label)])), Buffer.from([0])]);

const socket = dgram.createSocket({ type: "udp4", reuseAddr: true });
socket.on("message", (packet, client) => {
  const asked = wire(reverse);
  const isQuestion = (packet[2] & 0x80) === 0;
  if (!isQuestion || !packet.subarray(12).toString("latin1").toLowerCase().includes(asked.toString("latin1"))) return;
  // A question from another port is answered as a plain DNS server would (section 6.7): its ID and question come back.
  const legacy = client.port !== 5353;
  const id = legacy ? packet.subarray(0, 2) : Buffer.from([0, 0]);
  const header = Buffer.concat([id, Buffer.from([0x84, 0, 0, legacy ? 1 : 0, 0, 1, 0, 0, 0, 0])]);
  const question = legacy ? Buffer.concat([asked, Buffer.from([0, 12, 0, 1])]) : Buffer.alloc(0);
  const target = wire(name);
  const record = Buffer.concat([asked, Buffer.from([0, 12, 0, 1, 0, 0, 0, 10, target.length >> 8, target.length & 255]), target]);
  const answer = Buffer.concat([header, question, record]);
  if (legacy) socket.send(answer, client.port, client.address);
  else socket.send(answer, 5353, "224.0.0.251");
});
socket.bind(5353, () => socket.addMembership("224.0.0.251", address));
