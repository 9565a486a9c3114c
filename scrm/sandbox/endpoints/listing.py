"""Every endpoint the sandbox answers; a path that is not here is 404 with an empty body."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from aiohttp import web

from ..call import Call, read_text
from ..world import Json
from . import (
    access,
    acquisition,
    agent,
    contact_ways,
    contacts,
    group_chats,
    kf,
    mass_messages,
    media,
    members,
    messages,
    moments,
    tags,
    transfers,
    welcome,
)


@dataclass(frozen=True)
class Endpoint:
    """How one path is answered; `empty` are the fields that also stand in a refusal."""

    answer: Callable[[Call], Json | web.Response]
    empty: Mapping[str, object] = field(default_factory=dict)
    needs_token: bool = True
    exclusive: Callable[[Call], tuple[str, ...]] | None = None  # what two calls at one time must not share
    conflict: int = 45035
    is_about_contacts: bool = False
    calls_per_hour: int = 150_000


def _welcome_code(call: Call) -> tuple[str, ...]:
    return (read_text(call.body, "welcome_code"),)


def _contacts(answer: Callable[[Call], Json], **empty: object) -> Endpoint:
    return Endpoint(answer, empty, is_about_contacts=True)


ENDPOINTS: dict[str, Endpoint] = {
    "gettoken": Endpoint(access.gettoken, needs_token=False),
    "get_jsapi_ticket": Endpoint(access.get_jsapi_ticket, calls_per_hour=100),
    "ticket/get": Endpoint(access.ticket_get, calls_per_hour=100),
    "auth/getuserinfo": Endpoint(access.getuserinfo),
    "agent/get": Endpoint(agent.agent_get),
    "getcallbackip": Endpoint(access.getcallbackip, {"ip_list": []}),
    "user/get": Endpoint(members.user_get),
    "user/simplelist": Endpoint(members.user_simplelist, {"userlist": []}),
    "user/list": Endpoint(members.user_list, {"userlist": []}),
    "user/list_id": Endpoint(members.user_list_id, {"dept_user": []}),
    "department/list": Endpoint(members.department_list, {"department": []}),
    "department/get": Endpoint(members.department_get),
    "department/simplelist": Endpoint(members.department_simplelist, {"department_id": []}),
    "externalcontact/get_follow_user_list": _contacts(members.get_follow_user_list, follow_user=[]),
    "externalcontact/list": _contacts(contacts.list_contacts, external_userid=[]),
    "externalcontact/get": _contacts(contacts.get_contact, follow_user=[]),
    "externalcontact/batch/get_by_user": _contacts(contacts.batch_get_by_user, external_contact_list=[]),
    "externalcontact/remark": Endpoint(contacts.remark, is_about_contacts=True),
    "externalcontact/mark_tag": Endpoint(
        contacts.mark_tag, exclusive=contacts.relation_key, conflict=45035, is_about_contacts=True
    ),
    "externalcontact/get_corp_tag_list": _contacts(tags.get_corp_tag_list, tag_group=[]),
    "externalcontact/add_corp_tag": _contacts(tags.add_corp_tag),
    "externalcontact/edit_corp_tag": _contacts(tags.edit_corp_tag),
    "externalcontact/del_corp_tag": _contacts(tags.del_corp_tag),
    "externalcontact/get_strategy_tag_list": _contacts(tags.get_strategy_tag_list, tag_group=[]),
    "externalcontact/customer_acquisition/list_link": _contacts(acquisition.list_link, link_id_list=[]),
    "externalcontact/customer_acquisition/get": _contacts(acquisition.get),
    "externalcontact/customer_acquisition/create_link": _contacts(acquisition.create_link),
    "externalcontact/customer_acquisition/update_link": _contacts(acquisition.update_link),
    "externalcontact/customer_acquisition/delete_link": _contacts(acquisition.delete_link),
    "externalcontact/customer_acquisition/customer": _contacts(acquisition.customer, customer_list=[]),
    "externalcontact/customer_acquisition/statistic": _contacts(acquisition.statistic),
    "externalcontact/customer_acquisition/get_chat_info": _contacts(acquisition.get_chat_info),
    "externalcontact/customer_acquisition_quota": _contacts(acquisition.quota, quota_list=[]),
    "externalcontact/add_contact_way": _contacts(contact_ways.add_contact_way),
    "externalcontact/get_contact_way": _contacts(contact_ways.get_contact_way),
    "externalcontact/list_contact_way": _contacts(contact_ways.list_contact_way, contact_way=[]),
    "externalcontact/update_contact_way": _contacts(contact_ways.update_contact_way),
    "externalcontact/del_contact_way": _contacts(contact_ways.del_contact_way),
    "externalcontact/send_welcome_msg": Endpoint(
        welcome.send_welcome_msg, exclusive=_welcome_code, conflict=41096, is_about_contacts=True
    ),
    "message/send": Endpoint(messages.send),
    "message/recall": Endpoint(messages.recall),
    "message/update_template_card": Endpoint(messages.update_template_card, {"invaliduser": []}),
    "media/upload": Endpoint(media.upload),
    "media/uploadimg": Endpoint(media.uploadimg),
    "media/upload_attachment": Endpoint(media.upload_attachment),
    "media/get": Endpoint(media.media_get),
    "media/upload_by_url": Endpoint(media.upload_by_url),
    "media/get_upload_by_url_result": Endpoint(media.get_upload_by_url_result),
    "externalcontact/add_msg_template": _contacts(mass_messages.add_msg_template, fail_list=[]),
    "externalcontact/remind_groupmsg_send": _contacts(mass_messages.remind_groupmsg_send),
    "externalcontact/cancel_groupmsg_send": _contacts(mass_messages.cancel_groupmsg_send),
    "externalcontact/get_groupmsg_list_v2": _contacts(mass_messages.get_groupmsg_list_v2, group_msg_list=[]),
    "externalcontact/get_groupmsg_task": _contacts(mass_messages.get_groupmsg_task, task_list=[]),
    "externalcontact/get_groupmsg_send_result": _contacts(mass_messages.get_groupmsg_send_result, send_list=[]),
    "externalcontact/add_moment_task": _contacts(moments.add_moment_task),
    "externalcontact/get_moment_task_result": _contacts(moments.get_moment_task_result),
    "externalcontact/cancel_moment_task": _contacts(moments.cancel_moment_task),
    "externalcontact/get_moment_list": _contacts(moments.get_moment_list, moment_list=[]),
    "externalcontact/get_moment_task": _contacts(moments.get_moment_task, task_list=[]),
    "externalcontact/get_moment_customer_list": _contacts(moments.get_moment_customer_list, customer_list=[]),
    "externalcontact/get_moment_send_result": _contacts(moments.get_moment_send_result, customer_list=[]),
    "externalcontact/get_moment_comments": _contacts(moments.get_moment_comments, comment_list=[], like_list=[]),
    "externalcontact/transfer_customer": Endpoint(
        transfers.transfer_customer, {"customer": []}, exclusive=transfers.giver_key, is_about_contacts=True
    ),
    "externalcontact/transfer_result": _contacts(transfers.transfer_result, customer=[]),
    "externalcontact/resigned/transfer_customer": Endpoint(
        transfers.transfer_resigned, {"customer": []}, exclusive=transfers.giver_key, is_about_contacts=True
    ),
    "externalcontact/resigned/transfer_result": _contacts(transfers.resigned_result, customer=[]),
    "externalcontact/get_unassigned_list": _contacts(transfers.get_unassigned_list, info=[]),
    "externalcontact/groupchat/onjob_transfer": _contacts(transfers.onjob_group_transfer, failed_chat_list=[]),
    "externalcontact/groupchat/transfer": _contacts(transfers.group_transfer, failed_chat_list=[]),
    "kf/account/list": Endpoint(kf.account_list, {"account_list": []}),
    "kf/add_contact_way": Endpoint(kf.add_contact_way),
    "kf/sync_msg": Endpoint(kf.sync_msg, {"msg_list": []}),
    "kf/send_msg": Endpoint(kf.send_msg),
    "kf/send_msg_on_event": Endpoint(kf.send_msg_on_event),
    "kf/service_state/get": Endpoint(kf.service_state_get),
    "kf/service_state/trans": Endpoint(kf.service_state_trans),
    "kf/customer/batchget": Endpoint(kf.customer_batchget, {"customer_list": []}),
    "externalcontact/groupchat/list": _contacts(group_chats.list_groups, group_chat_list=[]),
    "externalcontact/groupchat/get": _contacts(group_chats.get_group),
    "externalcontact/opengid_to_chatid": _contacts(group_chats.opengid_to_chatid),
    "externalcontact/groupchat/add_join_way": _contacts(group_chats.add_join_way),
    "externalcontact/groupchat/get_join_way": _contacts(group_chats.get_join_way),
    "externalcontact/groupchat/update_join_way": _contacts(group_chats.update_join_way),
    "externalcontact/groupchat/del_join_way": _contacts(group_chats.del_join_way),
    "externalcontact/groupchat/statistic": _contacts(group_chats.statistic, items=[]),
    "externalcontact/groupchat/statistic_group_by_day": _contacts(group_chats.statistic_by_day, items=[]),
    "externalcontact/group_welcome_template/add": _contacts(group_chats.add_welcome),
    "externalcontact/group_welcome_template/edit": _contacts(group_chats.edit_welcome),
    "externalcontact/group_welcome_template/get": _contacts(group_chats.get_welcome),
    "externalcontact/group_welcome_template/del": _contacts(group_chats.del_welcome),
}
