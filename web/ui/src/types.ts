// The words of the page for what the operations take and give. The types themselves are made from the node's OpenAPI document
// (npm run types).

import type { components } from './schema'

type Schemas = components['schemas']

export type Item = Schemas['Item']
export type State = Item['state']
export type Visibility = Item['for']
export type Shared = Schemas['Shared']
export type ShowOut = Schemas['ShowOut']
export type Source = Schemas['Source']
export type ItemNetwork = Schemas['ItemNetwork']
export type TreeEntry = Schemas['TreeEntry']
export type OpenOut = Schemas['OpenOut']
export type BrowseOut = Schemas['BrowseOut']
export type LimitOut = Schemas['LimitOut']
export type PublicOut = Schemas['PublicOut']
export type NetworkLink = Schemas['NetworkLink']
export type RelayOut = Schemas['RelayOut']
export type Finding = Schemas['Finding']
export type Peer = Schemas['Peer']
export type Contact = Schemas['Contact']
export type InviteOut = Schemas['InviteOut']
export type Invite = Schemas['Invite']
export type LinkOut = Schemas['LinkOut']
export type OwnDevice = Schemas['OwnDevice']
export type IDOut = Schemas['IDOut']
export type StatusOut = Schemas['StatusOut']
export type Delivery = Schemas['Delivery']
export type Guest = Schemas['Guest']
export type PhoneOut = Schemas['PhoneOut']
export type PhonesOut = Schemas['PhonesOut']
