"""Steps that are mass messages, channel M: gathering, making, withdrawing, stopping, and what became of them.

A step's row goes gathering → sending → over. While it gathers it is simply taken out. Once it stands in a message, the
part of that message is locked before anything of it changes, so the call to WeCom, a withdrawal and a result never
decide about one customer at the same moment.

WeCom cannot take one customer out of a message that waits for its member. When somebody's run ends before the member
has confirmed, the whole message is stopped at once, so that nobody can get what is wrong for him by now, and is made
again for those who stay, at first two minutes later, then after longer and longer pauses: many departures in a row
are one new message.
"""
