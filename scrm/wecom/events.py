"""Every callback that WeCom documents, typed; names as WeCom spells them (docs 90239, 90240, 90970-90973, 92130, 97299).

`parse_event` reads what all have in common; `typed(event)` or `GroupChatChanged.of(event)` reads the rest. Nothing
but the common head is required: an element that is absent, empty or senseless is '', None or (), and one we do not
know is ignored. Ids are text, also where WeCom sends a number.
"""

from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, Self, cast

from scrm.wecom.callback_xml import Fields, Unreadable, find_all, parse_xml


@dataclass(frozen=True, slots=True)
class Event:
    """One callback: `name` is Event (or MsgType for messages), `change_type` is ChangeType or empty."""

    name: str
    change_type: str
    created_at: datetime
    fields: Fields

    def text(self, key: str) -> str:
        """The element's text; empty when it is absent, empty or has children."""
        value = self.fields.get(key, "")
        return value if isinstance(value, str) else ""


def parse_event(body: bytes) -> Event:
    """Raises Unreadable when the body is not XML, has a DTD, or names no event."""
    fields = parse_xml(body)
    kind = fields.get("MsgType")
    name = fields.get("Event") if kind == "event" else kind
    # The oldest events had no MsgType beside Event.
    name = name or fields.get("Event")
    if not isinstance(name, str) or not name:
        raise Unreadable("XML 里既没有 Event 也没有 MsgType")
    change_type = fields.get("ChangeType", "")
    return Event(name, change_type if isinstance(change_type, str) else "", _created_at(fields), fields)


def _created_at(fields: Fields) -> datetime:
    try:
        return datetime.fromtimestamp(int(fields["CreateTime"]), UTC)
    except (KeyError, ValueError, TypeError, OverflowError, OSError):
        raise Unreadable("CreateTime 缺失，或不是秒数") from None


# How an element is read ---------------------------------------------------------------------------------------------


def _text(*paths: str) -> str:
    """The first of the elements that is there; '' when none is."""
    # mypy takes field() for its default; for the others the default says less than the type.
    return field(default="", metadata={"read": lambda told: _first(told, paths) or ""})


def _changed(*paths: str) -> str | None:
    """Text of an element that is sent only when it changed: None when it was not sent, '' when it was emptied."""
    return cast("str | None", field(default=None, metadata={"read": lambda told: _first(told, paths)}))


def _number(*paths: str) -> int | None:
    return cast("int | None", field(default=None, metadata={"read": lambda told: _to_int(_first(told, paths))}))


def _decimal(*paths: str) -> float | None:
    return cast("float | None", field(default=None, metadata={"read": lambda told: _to_float(_first(told, paths))}))


def _time(*paths: str) -> datetime | None:
    """Unix seconds."""
    return cast("datetime | None", field(default=None, metadata={"read": lambda told: _to_time(_first(told, paths))}))


def _texts(path: str) -> tuple[str, ...]:
    """One text for each element at the path."""
    read = {"read": lambda told: tuple(one for one in find_all(told, path) if isinstance(one, str) and one)}
    return cast("tuple[str, ...]", field(default=(), metadata=read))


def _listed(*paths: str) -> tuple[str, ...]:
    """Parts of a text that are parted by commas."""
    read = {"read": lambda told: tuple(one.strip() for one in (_first(told, paths) or "").split(",") if one.strip())}
    return cast("tuple[str, ...]", field(default=(), metadata=read))


def _listed_if_changed(*paths: str) -> tuple[str, ...] | None:
    """Like `_listed`, None when the element was not sent."""

    def read(told: Fields) -> tuple[str, ...] | None:
        text = _first(told, paths)
        return None if text is None else tuple(one.strip() for one in text.split(",") if one.strip())

    return cast("tuple[str, ...] | None", field(default=None, metadata={"read": read}))


def _first(told: Fields, paths: tuple[str, ...]) -> str | None:
    return next((one for path in paths for one in find_all(told, path) if isinstance(one, str)), None)


def _to_int(text: str | None) -> int | None:
    try:
        return None if not text else int(text)
    except ValueError:
        return None


def _to_float(text: str | None) -> float | None:
    try:
        return None if not text else float(text)
    except ValueError:
        return None


def _to_time(text: str | None) -> datetime | None:
    seconds = _to_int(text)
    try:
        return None if not seconds else datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, OSError, ValueError):
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What every callback has; `from_user` is a member's userid for app events and messages, else 'sys' or ''."""

    name: str
    change_type: str
    created_at: datetime
    from_user: str = _text("FromUserName")
    agent_id: str = _text("AgentID", "AgentId")

    @classmethod
    def of(cls, event: Event) -> Self:
        """Read the event's elements as this type has them; never fails."""
        told: dict[str, Any] = {one.name: one.metadata["read"](event.fields) for one in fields(cls) if one.metadata}
        return cls(name=event.name, change_type=event.change_type, created_at=event.created_at, **told)


# Customers: change_external_contact (doc 92130) ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactChanged(Told):
    """What every event of a relation has: the member and the contact."""

    userid: str = _text("UserID")
    external_userid: str = _text("ExternalUserID")


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactAdded(ContactChanged):
    """add_external_contact, add_half_external_contact; `welcome_code` is '' when no welcome is possible."""

    state: str = _text("State")
    welcome_code: str = _text("WelcomeCode")

    @property
    def is_half(self) -> bool:
        """The member, who lets everybody in, has not confirmed yet."""
        return self.change_type == "add_half_external_contact"


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactEdited(ContactChanged):
    """edit_external_contact: remark, phone or tags changed; the event does not say which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactLost(ContactChanged):
    """del_follow_user (the customer deleted the member), del_external_contact (the other way round)."""

    source: str = _text("Source")

    @property
    def is_by_customer(self) -> bool:
        return self.change_type == "del_follow_user"

    @property
    def is_by_transfer(self) -> bool:
        return self.source == "DELETE_BY_TRANSFER"


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferFailed(ContactChanged):
    """transfer_fail: `userid` is the member who should have taken over.

    `fail_reason` is customer_refused or customer_limit_exceed.
    """

    fail_reason: str = _text("FailReason")


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchivingAgreed(ContactChanged):
    """msg_audit_approved: the customer agrees to the archiving of the chat (doc 92005)."""

    welcome_code: str = _text("WelcomeCode")


# Customer groups: change_external_chat (doc 92130) -------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupChatChanged(Told):
    """create, update, dismiss; '' (the form of 2020) says only that the group is to be fetched.

    `update_detail`: add_member, del_member, change_owner, change_name, change_notice. `changed_members` are userids
    and external_userids mixed. The versions are those of groupchat/get's `member_version`: when `last_version` is not
    the one we have, events were lost and the group is to be fetched.
    """

    chat_id: str = _text("ChatId")
    update_detail: str = _text("UpdateDetail")
    join_scene: int | None = _number("JoinScene")  # 0 invited, 3 by QR code; others were seen
    quit_scene: int | None = _number("QuitScene")  # 0 left, 1 was removed
    changed_count: int | None = _number("MemChangeCnt")
    changed_members: tuple[str, ...] = _texts("MemChangeList/Item")
    last_version: str = _text("LastMemVer")
    current_version: str = _text("CurMemVer")


# Corp tags: change_external_tag (doc 92130) --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpTagChanged(Told):
    """create, update, delete, shuffle of a tag or a group; the names are to be fetched.

    `id` in shuffle is the group whose tags were re-sorted, '' means all groups.
    """

    id: str = _text("Id")
    tag_type: str = _text("TagType")  # tag, tag_group; '' in shuffle
    strategy_id: str = _text("StrategyId")

    @property
    def is_group(self) -> bool:
        return self.tag_type == "tag_group"


# Acquisition links: customer_acquisition (doc 97299) -----------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class AcquisitionBalanceChanged(Told):
    """balance_low (fewer than 20 uses left), balance_exhausted, balance_increased, quota_expire_soon."""

    expires_at: datetime | None = _time("ExpireTime")  # noqa: RUF009 - it is a field
    expiring_quota: int | None = _number("ExpireQuotaNum")


@dataclass(frozen=True, slots=True, kw_only=True)
class AcquisitionLinkChanged(Told):
    """link_unavailable, delete_link."""

    link_id: str = _text("LinkId")


@dataclass(frozen=True, slots=True, kw_only=True)
class AcquisitionVisited(Told):
    """open_profile, friend_request: somebody not yet a customer; `state` is the link's customer_channel."""

    link_id: str = _text("LinkId")
    state: str = _text("State")


@dataclass(frozen=True, slots=True, kw_only=True)
class AcquisitionTalked(Told):
    """customer_start_chat, message_from_customer (3rd, 5th, 10th message), del_follow_user.

    `chat_key` lives for 30 minutes (get_chat_info); since 2024-12-19 message_from_customer names neither member nor
    contact.
    """

    link_id: str = _text("LinkId")
    state: str = _text("State")
    userid: str = _text("UserID")
    external_userid: str = _text("ExternalUserID")
    chat_key: str = _text("ChatKey")


# Members and departments: change_contact (docs 90970, 90971, 90972) --------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberChanged(Told):
    """create_user, update_user, delete_user. What was not sent is None; some receivers get ids and departments only."""

    userid: str = _text("UserID")
    new_userid: str = _text("NewUserID")
    # `name` is the event's own.
    member_name: str | None = _changed("Name")
    departments: tuple[str, ...] | None = _listed_if_changed("Department")
    main_department: str | None = _changed("MainDepartment")
    is_leader_in_departments: tuple[str, ...] | None = _listed_if_changed("IsLeaderInDept")  # '0', '1' per department
    direct_leaders: tuple[str, ...] | None = _listed_if_changed("DirectLeader")
    position: str | None = _changed("Position")
    mobile: str | None = _changed("Mobile")
    gender: int | None = _number("Gender")
    email: str | None = _changed("Email")
    biz_mail: str | None = _changed("BizMail")
    status: int | None = _number("Status")  # 1 active, 2 disabled, 4 not activated, 5 left
    avatar: str | None = _changed("Avatar")
    alias: str | None = _changed("Alias")
    telephone: str | None = _changed("Telephone")
    address: str | None = _changed("Address")


@dataclass(frozen=True, slots=True, kw_only=True)
class DepartmentChanged(Told):
    """create_party, update_party, delete_party."""

    id: str = _text("Id")
    department_name: str | None = _changed("Name")
    parent_id: str | None = _changed("ParentId")
    order: int | None = _number("Order")


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberTagChanged(Told):
    """update_tag: tags of members (not of customers)."""

    tag_id: str = _text("TagId")
    added_users: tuple[str, ...] = _listed("AddUserItems")
    removed_users: tuple[str, ...] = _listed("DelUserItems")
    added_departments: tuple[str, ...] = _listed("AddPartyItems")
    removed_departments: tuple[str, ...] = _listed("DelPartyItems")


# A member and the app (doc 90240); `from_user` is the member -----------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class AppUsed(Told):
    """subscribe and unsubscribe (the app's visible range), enter_agent, click, view, view_miniprogram.

    `event_key` is the menu's key, URL or path.
    """

    event_key: str = _text("EventKey")


@dataclass(frozen=True, slots=True, kw_only=True)
class LocationReported(Told):
    """LOCATION."""

    latitude: float | None = _decimal("Latitude")
    longitude: float | None = _decimal("Longitude")
    precision: float | None = _decimal("Precision")
    app_type: str = _text("AppType")  # 'wxwork', '' in WeChat


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeScanned(AppUsed):
    """scancode_push, scancode_waitmsg."""

    scan_type: str = _text("ScanCodeInfo/ScanType")
    scan_result: str = _text("ScanCodeInfo/ScanResult")


@dataclass(frozen=True, slots=True, kw_only=True)
class PicturesChosen(AppUsed):
    """pic_sysphoto, pic_photo_or_album, pic_weixin; the pictures themselves come as messages."""

    count: int | None = _number("SendPicsInfo/Count")
    md5_sums: tuple[str, ...] = _texts("SendPicsInfo/PicList/item/PicMd5Sum")


@dataclass(frozen=True, slots=True, kw_only=True)
class LocationChosen(AppUsed):
    """location_select."""

    latitude: float | None = _decimal("SendLocationInfo/Location_X")
    longitude: float | None = _decimal("SendLocationInfo/Location_Y")
    scale: int | None = _number("SendLocationInfo/Scale")
    label: str = _text("SendLocationInfo/Label")
    poi_name: str = _text("SendLocationInfo/Poiname")
    app_type: str = _text("AppType")


def _read_selected(told: Fields) -> dict[str, tuple[str, ...]]:
    selected: dict[str, tuple[str, ...]] = {}
    for item in find_all(told, "SelectedItems/SelectedItem"):
        if isinstance(item, dict) and isinstance(key := item.get("QuestionKey"), str):
            options = find_all(item, "OptionIds/OptionId")
            selected[key] = tuple(one for one in options if isinstance(one, str) and one)
    return selected


def _selected() -> dict[str, tuple[str, ...]]:
    return cast("dict[str, tuple[str, ...]]", field(default_factory=dict, metadata={"read": _read_selected}))


@dataclass(frozen=True, slots=True, kw_only=True)
class CardClicked(AppUsed):
    """template_card_event, template_card_menu_event, taskcard_click (old): `event_key` is the button's key.

    `response_code` updates the card once within 72 h; `selected` is {question key: option ids}, empty for a card
    without selectors.
    """

    task_id: str = _text("TaskId")
    card_type: str = _text("CardType")
    response_code: str = _text("ResponseCode")
    selected: dict[str, tuple[str, ...]] = _selected()  # noqa: RUF009 - it is a field

    @property
    def userid(self) -> str:
        return self.from_user


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalChanged(Told):
    """open_approval_change, sys_approval_change (docs 90240, 91815)."""

    third_no: str = _text("ApprovalInfo/ThirdNo", "ApprovalInfo/SpNo")
    template_id: str = _text("ApprovalInfo/OpenTemplateId", "ApprovalInfo/TemplateId")
    status: int | None = _number("ApprovalInfo/OpenSpStatus", "ApprovalInfo/SpStatus")


@dataclass(frozen=True, slots=True, kw_only=True)
class AppAvailabilityChanged(Told):
    """Alarms about an app that is little used, and about apps that are shared.

    inactive_alert, close_inactive_agent, reopen_inactive_agent, low_active_alert, low_active, active_restored,
    share_agent_change, share_chain_change.
    """

    effective_at: datetime | None = _time("EffectTime")  # noqa: RUF009 - it is a field


# Jobs, archive, customer service (docs 90973, 96219, 94670, 97712, 95039, 100080) ------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchJobFinished(Told):
    """batch_job_result; `job_type`: sync_user, replace_user, invite_user, replace_party."""

    job_id: str = _text("BatchJob/JobId")
    job_type: str = _text("BatchJob/JobType")
    errcode: int | None = _number("BatchJob/ErrCode")
    errmsg: str = _text("BatchJob/ErrMsg")


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadFinished(Told):
    """upload_media_job_finish: the result is there for 60 minutes (get_upload_by_url_result)."""

    job_id: str = _text("JobId")


@dataclass(frozen=True, slots=True, kw_only=True)
class KfMessagesWaiting(Told):
    """kf_msg_or_event: fetch with kf/sync_msg; the token lives for 10 minutes (doc 94670)."""

    token: str = _text("Token")
    open_kfid: str = _text("OpenKfId")


@dataclass(frozen=True, slots=True, kw_only=True)
class KfAccountsChanged(Told):
    """kf_account_auth_change (doc 97712)."""

    added: tuple[str, ...] = _texts("AuthAddOpenKfId")
    removed: tuple[str, ...] = _texts("AuthDelOpenKfId")


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveWaiting(Told):
    """msgaudit_notify: new archived messages; at most one per 15 s (doc 95039)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainIpChanged(Told):
    """change_domain_ip: WeCom's API gets other addresses (doc 100080)."""


# Messages from a member to the app (doc 90239) -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageReceived(Told):
    """What every message has; `from_user` is the member. Never a message between a member and a customer."""

    msg_id: str = _text("MsgId")

    @property
    def userid(self) -> str:
        return self.from_user


@dataclass(frozen=True, slots=True, kw_only=True)
class TextReceived(MessageReceived):
    content: str = _text("Content")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageReceived(MessageReceived):
    media_id: str = _text("MediaId")
    pic_url: str = _text("PicUrl")


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceReceived(MessageReceived):
    media_id: str = _text("MediaId")
    format: str = _text("Format")  # amr, speex


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoReceived(MessageReceived):
    media_id: str = _text("MediaId")
    thumb_media_id: str = _text("ThumbMediaId")


@dataclass(frozen=True, slots=True, kw_only=True)
class LocationReceived(MessageReceived):
    latitude: float | None = _decimal("Location_X")
    longitude: float | None = _decimal("Location_Y")
    scale: int | None = _number("Scale")
    label: str = _text("Label")
    app_type: str = _text("AppType")


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkReceived(MessageReceived):
    title: str = _text("Title")
    description: str = _text("Description")
    url: str = _text("Url")
    pic_url: str = _text("PicUrl")


# The list -------------------------------------------------------------------------------------------------------------

# Which type an event has, by name and change type; {"": Type} where the event has no change types.
TYPES: dict[str, dict[str, type[Told]]] = {
    "change_external_contact": {
        "add_external_contact": ContactAdded,
        "add_half_external_contact": ContactAdded,
        "edit_external_contact": ContactEdited,
        "del_external_contact": ContactLost,
        "del_follow_user": ContactLost,
        "transfer_fail": TransferFailed,
        "msg_audit_approved": ArchivingAgreed,
    },
    "change_external_chat": dict.fromkeys(("create", "update", "dismiss", ""), GroupChatChanged),
    "change_external_tag": dict.fromkeys(("create", "update", "delete", "shuffle"), CorpTagChanged),
    "customer_acquisition": {
        "balance_low": AcquisitionBalanceChanged,
        "balance_exhausted": AcquisitionBalanceChanged,
        "balance_increased": AcquisitionBalanceChanged,
        "quota_expire_soon": AcquisitionBalanceChanged,
        "link_unavailable": AcquisitionLinkChanged,
        "delete_link": AcquisitionLinkChanged,
        "open_profile": AcquisitionVisited,
        "friend_request": AcquisitionVisited,
        "customer_start_chat": AcquisitionTalked,
        "message_from_customer": AcquisitionTalked,
        "del_follow_user": AcquisitionTalked,
    },
    "change_contact": {
        "create_user": MemberChanged,
        "update_user": MemberChanged,
        "delete_user": MemberChanged,
        "create_party": DepartmentChanged,
        "update_party": DepartmentChanged,
        "delete_party": DepartmentChanged,
        "update_tag": MemberTagChanged,
    },
    **{
        name: {"": kind}
        for kind, names in {
            AppUsed: ("subscribe", "unsubscribe", "enter_agent", "click", "view", "view_miniprogram"),
            LocationReported: ("LOCATION",),
            CodeScanned: ("scancode_push", "scancode_waitmsg"),
            PicturesChosen: ("pic_sysphoto", "pic_photo_or_album", "pic_weixin"),
            LocationChosen: ("location_select",),
            CardClicked: ("template_card_event", "template_card_menu_event", "taskcard_click"),
            ApprovalChanged: ("open_approval_change", "sys_approval_change"),
            AppAvailabilityChanged: (
                "inactive_alert", "close_inactive_agent", "reopen_inactive_agent", "low_active_alert", "low_active",
                "active_restored", "share_agent_change", "share_chain_change",
            ),
            BatchJobFinished: ("batch_job_result",),
            UploadFinished: ("upload_media_job_finish",),
            KfMessagesWaiting: ("kf_msg_or_event",),
            KfAccountsChanged: ("kf_account_auth_change",),
            ArchiveWaiting: ("msgaudit_notify",),
            DomainIpChanged: ("change_domain_ip",),
            TextReceived: ("text",),
            ImageReceived: ("image",),
            VoiceReceived: ("voice",),
            VideoReceived: ("video",),
            LocationReceived: ("location",),
            LinkReceived: ("link",),
        }.items()
        for name in names
    },
}  # fmt: skip


def typed(event: Event) -> Told | None:
    """The event as its documented type; None when WeCom's documents do not know it."""
    kind = TYPES.get(event.name, {}).get(event.change_type)
    return None if kind is None else kind.of(event)
